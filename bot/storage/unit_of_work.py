"""One transaction's writing: a transition, the event that records it, the posts that tell it.

Transitions are written at once, because their conditions decide. What they entail is gathered and
written at the end, in one statement for each table: a statement costs more than its work.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from bot.cancellation.errors import AlreadyHandled, RequestNotFound
from bot.cancellation.events import Event, EventName, chain
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.posts import PostKind, message_id
from bot.storage.mapping import request_from_row, request_to_row
from bot.storage.queries import outbox as outbox_queries
from bot.storage.queries import requests as request_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.sql.elements import ColumnElement

    from bot.cancellation.policy import Person
    from bot.storage.database import Database

T = TypeVar("T")

AT_ONCE = timedelta()

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ChainHead:
    """How far a request's record has come: its last event's number and hash."""

    number: int = 0
    hash: str = ""


async def write(
    database: Database,
    clock: Callable[[], datetime],
    work: Callable[[UnitOfWork], T],
    *,
    background: bool = False,
) -> T:
    """Do `work` on a page in one transaction and commit it; raises what `Database.write` raises.

    The clock is asked once its turn has come: a lease that ran out in the queue has run out.
    """

    def whole(db: Connection) -> tuple[T, Sequence[Event]]:
        uow = UnitOfWork(db, clock())
        result = work(uow)
        uow.flush()
        return result, uow.recorded

    result, recorded = await database.write(whole, background=background)
    for event in recorded:  # only now has it happened
        log.info(str(event.name), request=event.request, actor=event.actor, detail=event.detail)
    return result


async def read(
    database: Database,
    clock: Callable[[], datetime],
    work: Callable[[UnitOfWork], T],
    *,
    background: bool = False,
) -> T:
    """Do `work`, which changes nothing, in one transaction; raises `NotRead`."""
    return await database.read(lambda db: work(UnitOfWork(db, clock())), background=background)


def whole_requests(db: Connection, rows: Sequence[Any]) -> list[Request]:
    """Build requests from their rows, with whoever approved them."""
    # Where no approval is needed, nobody can have approved.
    ids = [row.id for row in rows if row.approvals_needed]
    found = db.execute(request_queries.approvals_of(ids)).all() if ids else []
    return [
        request_from_row(row, [approval for approval in found if approval.request == row.id])
        for row in rows
    ]


class UnitOfWork:
    """What one transaction reads and writes, all at one moment."""

    def __init__(self, db: Connection, now: datetime) -> None:
        self._db = db
        self.now = now
        self._heads: dict[str, ChainHead] = {}  # of requests that nobody else can change meanwhile
        self._new: dict[str, Request] = {}
        self._events: list[dict[str, Any]] = []
        self.recorded: list[Event] = []
        self._posts: list[dict[str, Any]] = []
        self._drawings: dict[str, dict[str, Any]] = {}  # one a request is enough: the last

    def execute(self, statement: Any, values: Any = None) -> Any:  # noqa: ANN401 - statements and results of any shape
        return self._db.execute(statement, values)

    def get_or_none(self, statement: Any, values: Any = None) -> Request | None:  # noqa: ANN401 - the same
        """Read the request that `statement` selects, if there is one."""
        row = self.execute(statement, values).first()
        return self._request(row) if row else None

    def get(self, request_id: str) -> Request:
        """Read one request; raises `RequestNotFound`."""
        if request := self.get_or_none(request_queries.request_by_id(request_id)):
            return request
        raise RequestNotFound

    def lock(self, request_id: str) -> Request:
        """Read one request and keep it as it is until the end; raises `RequestNotFound`."""
        row = self.execute(request_queries.locked_request(request_id)).first()
        if row is None:
            raise RequestNotFound
        self._keep_head(row)
        return self._request(row)

    def update(self, request_id: str, statement: Any) -> Request:  # noqa: ANN401 - the same
        """Run one conditional UPDATE; raises `AlreadyHandled` when its condition does not hold."""
        if changed := self.update_or_none(statement):
            return changed
        raise AlreadyHandled(self.get(request_id))

    def update_or_none(self, statement: Any) -> Request | None:  # noqa: ANN401 - the same
        """Run one conditional UPDATE; nothing when its condition does not hold."""
        row = self.execute(statement).first()
        if row is None:
            return None
        self._keep_head(row)
        return self._request(row)

    def add(self, request: Request) -> None:
        """Write a new request down; the end of the page fails where a unique index refuses it."""
        self._new[request.id] = request
        self._heads[request.id] = ChainHead()

    def get_many(self, request_ids: Iterable[str]) -> dict[str, Request]:
        """Read several requests by their ids, as far as they were not forgotten."""
        rows = self.execute(request_queries.requests_among(), {"ids": list(request_ids)}).all()
        return {request.id: request for request in whole_requests(self._db, rows)}

    def _request(self, row: Any) -> Request:  # noqa: ANN401 - a database row
        return whole_requests(self._db, [row])[0]

    def _keep_head(self, row: Any) -> None:  # noqa: ANN401 - a database row
        # Events that this page has gathered are not in the row yet.
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
        """Make one transition, with its record and its posts.

        Args:
            request: the request to change.
            expected: the state that it must be in.
            state: the state to enter.
            conditions: what else must hold.
            actor: who did it, or None for the bot itself.
            outcome: how the request ended, for a state that ends it.
            notify: whether the thread gets a reply.

        Raises:
            AlreadyHandled: the request is in another state by now.
        """
        values = {
            "state": state,
            "changed_at": self.now,
            "outcome": json.dumps(asdict(outcome or Outcome())),
        }
        entered = self.update(
            request.id, request_queries.change_request(request.id, [expected], values, *conditions)
        )
        detail = {k: v for k, v in asdict(outcome or Outcome()).items() if v}
        name = EventName.entering(state)
        self.record_and_notify(entered, name, actor=actor, detail=detail, notify=notify)
        return entered

    def record_and_notify(
        self,
        request: Request,
        name: EventName,
        *,
        actor: Person | None = None,
        detail: Mapping[str, Any] | None = None,
        notify: bool = True,
    ) -> None:
        """Record an event, have the card drawn anew, and where `notify` tell it in the thread."""
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
        """Add one event to the request's chain and return its number."""
        event = Event(
            name=name,
            request=request.id,
            at=self.now.isoformat(timespec="milliseconds"),
            actor=actor.id if actor else None,
            team=actor.team if actor else request.team,
            detail=detail or {},
        )
        head = self._head(request.id)
        line = chain(event, head.number + 1, head.hash)
        self._heads[request.id] = ChainHead(line.number, line.hash)
        self._events.append(asdict(line))
        self.recorded.append(event)
        return line.number

    def _head(self, request_id: str) -> ChainHead:
        if request_id not in self._heads:
            self._keep_head(self.execute(request_queries.locked_head(request_id)).one())
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
    ) -> None:
        """Write down one message that is to reach Slack."""
        self._posts.append(
            self._message(request, kind, name, number, AT_ONCE)
            | {"actor": actor.id if actor else None, "detail": json.dumps(detail or {})}
        )

    def enqueue_card_update(
        self, request: Request, name: EventName, number: int, *, delay: timedelta = AT_ONCE
    ) -> None:
        """Have the card drawn anew, unless a drawing that nobody has begun is due anyway."""
        self._drawings[request.id] = self._message(request, PostKind.EDIT, name, number, delay)

    def _message(
        self, request: Request, kind: PostKind, name: EventName, number: int, delay: timedelta
    ) -> dict[str, Any]:
        return {
            "request": request.id,
            "kind": kind,
            "event": name,
            "actor": None,
            "at": self.now,
            "detail": "{}",
            "state": "due",
            "due_at": self.now + delay,
            "client_msg_id": message_id(request.id, f"{kind}:{name}", number),
        }

    def flush(self) -> None:
        """Write what was gathered: new requests, the record, how far it has come, the posts."""
        for request in self._new.values():
            self.execute(
                request_queries.new_request(), request_to_row(request) | self._end(request.id)
            )
        if self._events:
            self.execute(request_queries.new_events(), self._events)
        for request_id in {event["request"] for event in self._events} - self._new.keys():
            self.execute(request_queries.move_head(), {"of": request_id, **self._end(request_id)})
        needed = [drawing for drawing in self._drawings.values() if self._is_needed(drawing)]
        if posts := self._posts + needed:
            self.execute(outbox_queries.new_posts(), posts)

    def _end(self, request_id: str) -> dict[str, Any]:
        head = self._heads[request_id]
        return {"event_count": head.number, "head_hash": head.hash}

    def _is_needed(self, drawing: Mapping[str, Any]) -> bool:
        """Hasten the drawing that is due anyway, if there is one; say whether there is none."""
        due = self.execute(outbox_queries.drawings_due(), {"of": drawing["request"]}).all()
        late = [post.id for post in due if not post.attempts and post.due_at > drawing["due_at"]]
        if late:
            self.execute(outbox_queries.hasten_posts(late, drawing["due_at"]))
        return not due
