"""The unit of work: one transaction's transitions, audit events and messages.

Transitions are written at once, because their conditions decide. Events and messages are collected
and written at the end with one statement for each table, which is faster than many.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.errors import AlreadyHandled, RequestNotFound
from bot.cancellation.events import Event, EventName, chain
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.people import Person
from bot.cancellation.policy import Judgement
from bot.cancellation.posts import PostKind, message_id
from bot.storage.database import Database
from bot.storage.queries import outbox as outbox_queries
from bot.storage.queries import requests as request_queries
from bot.storage.tables import request_from_row, request_to_row

T = TypeVar("T")

NO_DELAY = timedelta()

#: The priority of posts that are sent before others, which have 0.
FIRST = -1

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last event of a request's chain: its number and hash."""

    number: int = 0
    hash: str = ""


class Store:
    """The base of the stores, whose methods are a transaction each.

    Args:
        database: the database.
        now: the clock; aware datetimes.
    """

    #: Whether transactions may wait for those of listeners, and take longer.
    background = False

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def _read(self, work: "Callable[[UnitOfWork], T]") -> T:
        """Run `work`, which changes nothing; raises `NotRead`."""
        return await self._database.read(
            lambda db: work(UnitOfWork(db, self._now())), background=self.background
        )

    async def _write(self, work: "Callable[[UnitOfWork], T]") -> T:
        """Run `work` and commit it; raises what `Database.write` raises.

        The clock is read when the transaction begins: a lease may expire while it waits.
        """

        def run(db: Connection) -> tuple[T, Sequence[Event]]:
            uow = UnitOfWork(db, self._now())
            result = work(uow)
            uow.flush()
            return result, uow.recorded

        result, recorded = await self._database.write(run, background=self.background)
        for event in recorded:  # committed
            log.info(str(event.name), request=event.request, actor=event.actor, detail=event.detail)
        return result


def load_requests(db: Connection, rows: Sequence[Any]) -> list[Request]:
    """Build requests from their rows, with their approvals."""
    ids = [row.id for row in rows if row.approvals_needed]
    found = db.execute(request_queries.approvals_of(ids)).all() if ids else []
    return [
        request_from_row(row, [approval for approval in found if approval.request == row.id])
        for row in rows
    ]


class UnitOfWork:
    """Reads and writes of one transaction, all with the same time."""

    def __init__(self, db: Connection, now: datetime) -> None:
        self._db = db
        self.now = now
        self._heads: dict[str, ChainHead] = {}  # of requests that this transaction has locked
        self._new: dict[str, Request] = {}
        self._events: list[dict[str, Any]] = []
        self.recorded: list[Event] = []
        self._posts: list[dict[str, Any]] = []
        self._card_updates: dict[str, dict[str, Any]] = {}  # the last of each request is enough

    def execute(self, statement: Any, values: Any = None) -> Any:  # noqa: ANN401 - statements and results of any shape
        return self._db.execute(statement, values)

    def get_or_none(self, statement: Any, values: Any = None) -> Request | None:  # noqa: ANN401 - the same
        """Return the request that `statement` selects, or None."""
        row = self.execute(statement, values).first()
        return self._request(row) if row else None

    def get(self, request_id: str) -> Request:
        """Return a request; raises `RequestNotFound`."""
        if request := self.get_or_none(request_queries.request_by_id(request_id)):
            return request
        raise RequestNotFound

    def lock(self, request_id: str) -> Request:
        """Return a request and lock its row until the end; raises `RequestNotFound`."""
        if request := self.update_or_none(request_queries.lock_request(request_id)):
            return request
        raise RequestNotFound

    def update(self, request_id: str, statement: Any) -> Request:  # noqa: ANN401 - the same
        """Run one conditional UPDATE; raises `AlreadyHandled` when its condition does not hold."""
        if changed := self.update_or_none(statement):
            return changed
        raise AlreadyHandled(self.get(request_id))

    def update_or_none(self, statement: Any) -> Request | None:  # noqa: ANN401 - the same
        """Run one statement that locks a row; None when no row meets its condition."""
        row = self.execute(statement).first()
        if row is None:
            return None
        self._remember_head(row)
        return self._request(row)

    def add(self, request: Request) -> None:
        """Add a new request; `flush` fails where a unique index refuses it."""
        self._new[request.id] = request
        self._heads[request.id] = ChainHead()

    def get_many(self, request_ids: Iterable[str]) -> dict[str, Request]:
        """Return requests by their ids, without those that were pruned."""
        rows = self.execute(request_queries.REQUESTS_BY_IDS, {"ids": list(request_ids)}).all()
        return {request.id: request for request in load_requests(self._db, rows)}

    def _request(self, row: Any) -> Request:  # noqa: ANN401 - a database row
        return load_requests(self._db, [row])[0]

    def _remember_head(self, row: Any) -> None:  # noqa: ANN401 - a database row
        # The row lacks the events that this unit has collected.
        self._heads.setdefault(row.id, ChainHead(row.event_count, row.head_hash))

    def transition(
        self,
        request: Request,
        expected: State,
        state: State,
        *conditions: ColumnElement[bool],
        actor: Person | None = None,
        outcome: Outcome | None = None,
        notify: bool = True,
    ) -> Request:
        """Change a request from the `expected` state to `state`, with its audit event and messages.

        `conditions` are further conditions of the UPDATE; `actor` is None for the bot itself.

        Raises:
            AlreadyHandled: the request has another state by now, or a condition does not hold.
        """
        ended = asdict(outcome or Outcome())
        values = {"state": state, "changed_at": self.now, "outcome": json.dumps(ended)}
        change = request_queries.change_request(request.id, [expected], values, *conditions)
        entered = self.update(request.id, change)
        detail = {name: value for name, value in ended.items() if value}
        name = EventName.entering(state)
        self.record_and_notify(entered, name, actor=actor, detail=detail, notify=notify)
        return entered

    def apply_judgement(self, request: Request, judgement: Judgement) -> Request:
        """Void the approvals that no longer count, and raise the number of required ones."""
        for user in sorted(judgement.voided):
            self.execute(request_queries.void_approval(request.id, user, self.now))
            self.record_and_notify(request, EventName.APPROVAL_VOIDED, detail={"user": user})
        if judgement.approvals_needed > request.approvals_needed:
            needed = judgement.approvals_needed
            self.execute(request_queries.raise_approvals(request.id, needed))
            detail = {"approvals_needed": needed}
            self.record_and_notify(request, EventName.APPROVALS_RAISED, detail=detail)
        return self.get(request.id)

    def record_and_notify(
        self,
        request: Request,
        name: EventName,
        *,
        actor: Person | None = None,
        detail: Mapping[str, Any] | None = None,
        notify: bool = True,
    ) -> None:
        """Record an event, update the card, and reply in the thread if `notify`."""
        number = self.record(request, name, actor=actor, detail=detail)
        if notify:
            self.enqueue_message(request, PostKind.REPLY, name, number, actor=actor, detail=detail)
        self.enqueue_card_update(request, name, number)

    def record(
        self,
        request: Request,
        name: EventName,
        *,
        actor: Person | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """Append an event to the request's chain, and return its number."""
        event = Event(
            name=name,
            request=request.id,
            at=self.now.isoformat(timespec="milliseconds"),
            actor=actor.id if actor else None,
            team=actor.team if actor else request.team,
            detail=detail or {},
        )
        head = self._head(request.id)
        chained = chain(event, head.number + 1, head.hash)
        self._heads[request.id] = ChainHead(chained.number, chained.hash)
        self._events.append(asdict(chained))
        self.recorded.append(event)
        return chained.number

    def _head(self, request_id: str) -> ChainHead:
        if request_id not in self._heads:
            self._remember_head(self.execute(request_queries.lock_head(request_id)).one())
        return self._heads[request_id]

    def enqueue_message(
        self,
        request: Request,
        kind: PostKind,
        name: EventName,
        number: int,
        *,
        actor: Person | None = None,
        detail: Mapping[str, Any] | None = None,
        recipient: str | None = None,
    ) -> None:
        """Add one message for Slack to the outbox; `recipient` gets a direct message.

        A request without a channel has no card and no thread.
        """
        if not (request.channel or recipient):
            return
        self._posts.append(
            self._message(request, kind, name, number, recipient=recipient)
            | {"actor": actor.id if actor else None, "detail": json.dumps(detail or {})}
        )

    def enqueue_card_update(
        self, request: Request, name: EventName, number: int, *, delay: timedelta = NO_DELAY
    ) -> None:
        """Add a card update to the outbox, unless one is pending."""
        if not request.channel:
            return
        self._card_updates[request.id] = self._message(
            request, PostKind.EDIT, name, number, delay=delay
        )

    def _message(
        self,
        request: Request,
        kind: PostKind,
        name: EventName,
        number: int,
        *,
        delay: timedelta = NO_DELAY,
        recipient: str | None = None,
    ) -> dict[str, Any]:
        event = f"{kind}:{name}:{recipient}" if recipient else f"{kind}:{name}"
        return {
            "request": request.id,
            "kind": kind,
            "event": name,
            "actor": None,
            "recipient": recipient,
            "at": self.now,
            "detail": "{}",
            "state": "due",
            "due_at": self.now + delay,
            "priority": priority_of(kind, request),
            "client_msg_id": message_id(request.id, event, number),
        }

    def flush(self) -> None:
        """Write new requests, audit events, the heads of their chains, and messages."""
        for request in self._new.values():
            row = request_to_row(request) | self._head_columns(request.id)
            self.execute(request_queries.NEW_REQUEST, row)
        if self._events:
            self.execute(request_queries.NEW_EVENTS, self._events)
        for request_id in {event["request"] for event in self._events} - self._new.keys():
            head = {"request_id": request_id, **self._head_columns(request_id)}
            self.execute(request_queries.UPDATE_HEAD, head)
        needed = [each for each in self._card_updates.values() if self._is_needed(each)]
        if posts := self._posts + needed:
            self.execute(outbox_queries.NEW_POSTS, posts)

    def _head_columns(self, request_id: str) -> dict[str, Any]:
        head = self._heads[request_id]
        return {"event_count": head.number, "head_hash": head.hash}

    def _is_needed(self, card_update: Mapping[str, Any]) -> bool:
        """Return whether no update of this card is pending; let a pending one be due earlier."""
        due = self.execute(
            outbox_queries.PENDING_CARD_UPDATES, {"of": card_update["request"]}
        ).all()
        due_at, priority = card_update["due_at"], card_update["priority"]
        late = [post.id for post in due if post.due_at > due_at or post.priority > priority]
        if late:
            self.execute(outbox_queries.hasten_posts(late, due_at, priority))
        return not due


def priority_of(kind: PostKind, request: Request) -> int:
    """Return the priority of a post: the lowest is sent first.

    Steps and outcomes precede the cards of other requests.
    """
    return FIRST if kind is PostKind.REPLY or request.state.ended else 0
