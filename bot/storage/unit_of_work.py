"""The unit of work: one transaction's transitions, audit events and messages.

Transitions are written at once, because their conditions decide. Events and messages are collected
and written at the end with one statement for each table, which is faster than many.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.errors import AlreadyHandled, RequestNotFound
from bot.cancellation.events import Event, EventName, chain
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.people import Person
from bot.cancellation.posts import PostKind
from bot.storage.card_updates import NO_DELAY, CardUpdate, needed_updates, new_post
from bot.storage.queries import outbox as outbox_queries
from bot.storage.queries import requests as request_queries
from bot.storage.tables import milliseconds, request_from_row, request_to_row

T = TypeVar("T")

log = structlog.get_logger(__name__)


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
        # Whole milliseconds, so that rows and events have the same times.
        self.now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._counts: dict[str, int] = {}  # events of requests that this transaction has locked
        self._new: dict[str, Request] = {}
        self.recorded: list[Event] = []
        self.entered: list[State] = []  # the states that requests enter by this transaction
        self._posts: list[dict[str, Any]] = []
        self._card_updates: dict[str, CardUpdate] = {}  # the last of each request is enough

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
        row = request_queries.request_by_id(request_id).with_for_update()
        if request := self.update_or_none(row):
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
        # The row lacks the events that this unit has collected.
        self._counts.setdefault(row.id, row.event_count)
        return self._request(row)

    def add(self, request: Request) -> None:
        """Add a new request; `flush` fails where a unique index refuses it."""
        self._new[request.id] = request
        self._counts[request.id] = 0
        self.entered.append(request.state)

    def get_many(self, request_ids: Iterable[str]) -> dict[str, Request]:
        """Return requests by their ids, without those that were pruned."""
        rows = self.execute(request_queries.REQUESTS_BY_IDS, {"ids": list(request_ids)}).all()
        return {request.id: request for request in load_requests(self._db, rows)}

    def get_all(self, statement: Any) -> list[Request]:  # noqa: ANN401 - the same
        """Return the requests that `statement` selects."""
        return load_requests(self._db, self.execute(statement).all())

    def _request(self, row: Any) -> Request:  # noqa: ANN401 - a database row
        return load_requests(self._db, [row])[0]

    def transition(
        self,
        request: Request,
        expected: State,
        state: State,
        *conditions: ColumnElement[bool],
        actor: Person | None = None,
        outcome: Outcome | None = None,
        detail: Mapping[str, Any] | None = None,
        notify: bool = True,
    ) -> Request:
        """Change a request from the `expected` state to `state`, with its audit event and messages.

        `conditions` are further conditions of the UPDATE; `actor` is None for the bot itself;
        `detail` is added to the outcome in the event.

        Raises:
            AlreadyHandled: the request has another state by now, or a condition does not hold.
        """
        ended = asdict(outcome or Outcome())
        values = {"state": state, "changed_at": self.now, "outcome": json.dumps(ended)}
        if state is State.AWAITING:
            values["next_notice_at"] = self.now  # its approvers are told again
        change = request_queries.change_request(request.id, expected, *conditions, **values)
        entered = self.update(request.id, change)
        self.entered.append(state)
        facts = {name: value for name, value in ended.items() if value} | dict(detail or {})
        name = EventName.entering(state)
        self.record_and_notify(entered, name, actor=actor, detail=facts, notify=notify)
        return entered

    def apply_judgement(self, request: Request, judgement: Judgement) -> Request:
        """Void the approvals that no longer count, and raise the number of required ones."""
        for user in sorted(judgement.voided):
            self.execute(request_queries.void_approval(request.id, user, self.now))
            self.record_and_notify(request, EventName.APPROVAL_VOIDED, detail={"user": user})
        if judgement.approvals_needed > request.approvals_needed:
            needed = judgement.approvals_needed
            self.execute(request_queries.update_request(request.id, approvals_needed=needed))
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
        event = self.record(request, name, actor=actor, detail=detail)
        if notify:
            self.enqueue_message(request, PostKind.REPLY, event)
        self.enqueue_card_update(request, name, event.number)

    def record(
        self,
        request: Request,
        name: EventName,
        *,
        actor: Person | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Event:
        """Append an event to the record."""
        if request.id not in self._counts:
            count = self.execute(request_queries.lock_event_count(request.id))
            self._counts[request.id] = count.scalar_one()
        self._counts[request.id] += 1
        event = Event(
            name=name,
            request=request.id,
            number=self._counts[request.id],
            at=self.now.isoformat(timespec="milliseconds"),
            actor=actor.id if actor else None,
            team=actor.team if actor else request.team,
            detail=detail or {},
        )
        self.recorded.append(event)
        return event

    def enqueue_message(
        self, request: Request, kind: PostKind, event: Event, *, recipient: str | None = None
    ) -> None:
        """Add one message for Slack to the outbox; `recipient` gets a direct message.

        A request without a channel has no card and no thread.
        """
        if not (request.channel or recipient):
            return
        # Only a reply shows the detail, and a copy keeps the name of its recipient there.
        is_kept = kind in (PostKind.REPLY, PostKind.COPY)
        detail = json.dumps(event.detail if is_kept else {})
        self._posts.append(
            new_post(request, kind, event.name, event.number, self.now, recipient=recipient)
            | {"actor": event.actor, "detail": detail}
        )

    def enqueue_card_update(
        self, request: Request, name: EventName, number: int, *, delay: timedelta = NO_DELAY
    ) -> None:
        """Add an update of the card and its copies to the outbox, where none is pending."""
        self._card_updates[request.id] = CardUpdate(request, name, number, self.now, delay)

    def refresh_card(self, request: Request) -> None:
        """Add a card update that no event of the request caused."""
        if request.id not in self._card_updates:
            self.enqueue_card_update(request, EventName.CREATED, milliseconds(self.now))

    def flush(self) -> None:
        """Write new requests, messages and audit events."""
        for request in self._new.values():
            row = request_to_row(request) | {"event_count": self._counts[request.id]}
            self.execute(request_queries.NEW_REQUEST, row)
        for request_id in {event.request for event in self.recorded} - self._new.keys():
            count = {"request_id": request_id, "event_count": self._counts[request_id]}
            self.execute(request_queries.UPDATE_EVENT_COUNT, count)
        updates = self._card_updates.values()
        needed = [row for update in updates for row in needed_updates(self.execute, update)]
        if posts := self._posts + needed:
            self.execute(outbox_queries.NEW_POSTS, posts)
        if self.recorded:
            self._write_events()

    def _write_events(self) -> None:
        """Chain the events to the record's last one; its lock is the last one that is taken."""
        head = self.execute(request_queries.LOCK_CHAIN_HEAD).scalar_one()
        rows = []
        for event in self.recorded:
            chained = chain(event, head)
            head = chained.reference
            rows.append(asdict(chained))
        self.execute(request_queries.NEW_EVENTS, rows)
        self.execute(request_queries.UPDATE_CHAIN_HEAD, {"reference": head})
