"""The unit of work, which is one transaction, and the base of the stores that run such units."""

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypedDict, TypeVar, Unpack

import structlog
from sqlalchemy import Connection, Select, Update, insert, select, update

from bot.cancellation.errors import AlreadyHandled, Conflict, RequestNotFound
from bot.cancellation.events import TYPED_FIELDS, Event, EventName, chain
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.people import ActingPerson
from bot.cancellation.posts import PostKind
from bot.storage import queries
from bot.storage.database import Database
from bot.storage.posts import NO_DELAY, new_post, refresh_card
from bot.storage.request_writer import CHANGE_DUE, CHANGE_REQUEST, INSERT_REQUEST, UPDATE_REQUEST
from bot.storage.tables import (
    approvals,
    audit_events,
    chain_head,
    posts,
    request_from_row,
    request_to_row,
    requests,
)

T = TypeVar("T")
#: The approvals of requests, oldest first.
_APPROVALS = select(approvals).order_by(approvals.c.at, approvals.c.user)

log = structlog.get_logger(__name__)


class Places(TypedDict, total=False):
    """The columns of a request that say where people see it; they decide nothing else."""

    channel: str
    card_channel: str
    card_ts: str
    moved_because: str
    grace_ends_at: None  # a grace time starts again when people see the card


class UnitOfWork:
    """Reads and writes of one transaction, all with the same time.

    Events, and the requests whose cards show them, are collected and written at the end.
    """

    def __init__(self, db: Connection, now: datetime) -> None:
        self._db = db
        # Whole milliseconds, so that rows and events have the same times.
        self.now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._counts: dict[str, int] = {}  # events of requests that this transaction has locked
        self.recorded: list[Event] = []
        self.after_commit: list[Callable[[], None]] = []
        self.has_written = False
        self.has_messages = False  # new ones, or changes that Slack is to show
        self._to_show: dict[str, tuple[Request, timedelta]] = {}  # the last of each request

    def execute(self, statement: Any, values: Any = None) -> Any:  # noqa: ANN401 - statements and results of any shape
        self.has_written |= statement.is_dml
        self.has_messages |= statement.is_dml and statement.table is posts
        return self._db.execute(statement, values)

    def load(self, rows: Sequence[Any]) -> list[Request]:
        """Build requests from their rows, with their approvals."""
        ids = [row.id for row in rows if row.approvals_needed]
        given = self.execute(_APPROVALS.where(approvals.c.request.in_(ids))).all() if ids else []
        return [request_from_row(row, [a for a in given if a.request == row.id]) for row in rows]

    def get_all(self, statement: Select[Any], values: Any = None) -> list[Request]:  # noqa: ANN401 - the same
        return self.load(self.execute(statement, values).all())

    def get_or_none(self, statement: Select[Any]) -> Request | None:
        """Return the first request that `statement` selects, or None."""
        return next(iter(self.get_all(statement)), None)

    def get(self, request_id: str) -> Request:
        """Return a request; raises `RequestNotFound`."""
        if request := self.get_or_none(select(requests).where(requests.c.id == request_id)):
            return request
        raise RequestNotFound

    def lock(self, request_id: str) -> Request:
        """Return a request and lock its row until the end; raises `RequestNotFound`."""
        with_id = select(requests).where(requests.c.id == request_id)
        if request := self.lock_or_none(with_id.with_for_update()):
            return request
        raise RequestNotFound

    def change(self, statement: Update, values: Mapping[str, object]) -> Request:
        """Run `CHANGE_REQUEST`, perhaps with more conditions.

        Raises `AlreadyHandled` when a condition does not hold.
        """
        if changed := self.lock_or_none(statement, values):
            return changed
        raise AlreadyHandled(self.get(str(values["of"])))

    def lock_or_none(self, statement: Any, values: Any = None) -> Request | None:  # noqa: ANN401 - the same
        """Run a SELECT that locks a row, or an UPDATE; return its request. None without a row."""
        row = self.execute(statement, values).first()
        if row is None:
            return None
        # The row lacks the events that this unit has collected.
        self._counts.setdefault(row.id, row.event_count)
        return self.load([row])[0]

    def add(self, request: Request) -> None:
        """Add a new request; fails where a unique index refuses it."""
        self.execute(INSERT_REQUEST, request_to_row(request))
        self._counts[request.id] = 0

    def transition(
        self,
        request: Request,
        expected: State,
        state: State,
        *,
        statement: Update = CHANGE_REQUEST,
        parameters: Mapping[str, object] | None = None,
        actor: ActingPerson | None = None,
        outcome: Outcome | None = None,
        detail: Mapping[str, Any] | None = None,
        reply: bool = True,
    ) -> Request:
        """Change a request from the `expected` state to `state`, with its audit event and messages.

        `statement` is `CHANGE_REQUEST`, perhaps with more conditions on `parameters`. `actor` is
        None for the bot itself. The event has the outcome and `detail`. Raises `AlreadyHandled` if
        the request has another state by now, or a condition does not hold.
        """
        ended = asdict(outcome or Outcome())
        values: dict[str, object] = {
            "of": request.id,
            "expected": expected,
            "state": state,
            "changed_at": self.now,
            "outcome": json.dumps(ended),
        }
        if state is State.AWAITING:
            values["next_notice_at"] = self.now  # its approvers are notified again
        entered = self.change(statement, values | dict(parameters or {}))
        facts = {name: value for name, value in ended.items() if value} | dict(detail or {})
        name = EventName.entering(state)
        self.record_and_notify(entered, name, actor=actor, detail=facts, reply=reply)
        return entered

    def set_places(self, request_id: str, **places: Unpack[Places]) -> None:
        self.execute(UPDATE_REQUEST, {"of": request_id, **places})

    def plan_notice(self, request: Request, next_at: datetime | None) -> Request | None:
        """Plan the next notice; None if another replica did, or the request was decided."""
        due = {"of": request.id, "expected": State.AWAITING, "due": request.next_notice_at}
        return self.lock_or_none(CHANGE_DUE, {**due, "now": self.now, "next_notice_at": next_at})

    def record_and_notify(
        self,
        request: Request,
        name: EventName,
        *,
        actor: ActingPerson | None = None,
        detail: Mapping[str, Any] | None = None,
        reply: bool = True,
    ) -> None:
        """Record an event, update the card, and reply in the thread if `reply`."""
        event = self.record(request, name, actor=actor, detail=detail)
        if reply:
            self.enqueue_message(request, PostKind.REPLY, event)
        self.refresh_card(request)

    def record(
        self,
        request: Request,
        name: EventName,
        *,
        actor: ActingPerson | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Event:
        """Append an event to the audit log."""
        if request.id not in self._counts:
            self.lock(request.id)
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

        A request without a channel has no thread. Its card is for approvers alone: those of a
        waiting request get copies anyway.
        """
        is_for_approvers = kind is PostKind.CARD and request.acted_alone
        if request.channel or recipient or is_for_approvers:
            self.execute(insert(posts), new_post(request, kind, event, self.now, recipient))

    def refresh_card(self, request: Request, *, delay: timedelta = NO_DELAY) -> None:
        """Let the card of a request and its copies show it as it is now, after `delay`."""
        self._to_show[request.id] = request, delay

    def flush(self) -> None:
        """Write what is collected."""
        # Events about jobs change no request.
        changed = {event.request for event in self.recorded} & self._counts.keys()
        for request_id in changed:
            count = {"event_count": self._counts[request_id]}
            self.execute(UPDATE_REQUEST, {"of": request_id, **count})
        for request, delay in self._to_show.values():
            refresh_card(self.execute, request, self.now, delay)
        if self.recorded:
            self._write_events()

    def _write_events(self) -> None:
        """Chain the events to the last one of the audit log, whose lock is taken last."""
        head = self.execute(queries.CHAIN_HEAD.with_for_update()).scalar_one()
        rows = []
        for event in self.recorded:
            chained = chain(event, head)
            head = chained.reference
            rows.append(asdict(chained))
        self.execute(insert(audit_events), rows)
        self.execute(update(chain_head), {"reference": head})


@dataclass(eq=False)
class Store:
    """The base of the stores: each method that `reads` or `writes` decorates is one transaction."""

    background = ""  #: names the stores whose writes wait for each other, and may take longer
    wakes_outbox = True  #: whether the outbox delivers at once what a transaction writes for it

    database: Database
    now: Callable[[], datetime]
    #: Called before the commit of a transaction that writes; an error of it undoes everything.
    fence: Callable[[UnitOfWork], None] = field(default=lambda _uow: None, kw_only=True)

    async def _write(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` and commit it; raises what `Database.write` raises.

        The clock is read when the transaction begins: a lease may expire while it waits.
        """

        def run(db: Connection) -> tuple[T, UnitOfWork]:
            uow = UnitOfWork(db, self.now())
            result = work(uow)
            uow.flush()
            if uow.has_written:
                self.fence(uow)
            return result, uow

        try:
            result, committed = await self.database.write(run, background=self.background)
        except Conflict:  # another transaction inserted first: now its rows are found
            result, committed = await self.database.write(run, background=self.background)
        for event in committed.recorded:
            typed = TYPED_FIELDS.get(event.name, ())
            detail = {name: value for name, value in event.detail.items() if name not in typed}
            log.info(str(event.name), request=event.request, actor=event.actor, detail=detail)
            self.database.on_event(event)
        for call in committed.after_commit:
            call()
        if committed.has_messages and self.wakes_outbox:
            self.database.on_messages()
        return result


S = TypeVar("S", bound=Store)
P = ParamSpec("P")
Transaction = Callable[Concatenate[S, UnitOfWork, P], T]
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


def reads(work: Transaction[S, P, T]) -> Method[S, P, T]:
    """Make `work` an async method that reads in one transaction; it raises `NotRead`.

    Callers leave out the unit of work.
    """

    @wraps(work)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        def run(db: Connection) -> T:
            return work(self, UnitOfWork(db, self.now()), *args, **kwargs)

        return await self.database.read(run, background=self.background)

    return method


def writes(work: Transaction[S, P, T]) -> Method[S, P, T]:
    """Make `work` an async method that commits one transaction; it raises `StorageError`.

    Callers leave out the unit of work.
    """

    @wraps(work)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._write(lambda uow: work(self, uow, *args, **kwargs))

    return method
