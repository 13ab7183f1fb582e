"""Reads the audit events: past requests, and whether an event was changed or removed."""

import json
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Delete, Row, Select, delete, exists, func, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.events import EventName, Recorded
from bot.cancellation.job_facts import Lead
from bot.cancellation.lifecycle import Card, Outcome, Request, State
from bot.storage import queries
from bot.storage.database import Database
from bot.storage.posts import DUE
from bot.storage.tables import ENDED, UNREVIEWED, audit_events, posts, requests, to_recorded
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes
from bot.storage.verification import BATCH_SIZE, STATES, AuditBreak, find_breaks


@dataclass(frozen=True)
class AuditLog:
    """Reads the audit events in batches: there may be many."""

    database: Database

    async def events(self, since: datetime | None = None, **equal: str) -> AsyncIterator[Recorded]:
        """Read events in the order in which they were written; raises `DatabaseUnreadable`.

        `equal` are required values of the columns `request`, `event`, `actor`, `team`.
        """
        is_equal = [audit_events.c[name] == value for name, value in equal.items()]
        async for row in _rows(self.database.read_snapshot, 0, since, *is_equal):
            yield to_recorded(row)

    async def count(self) -> int:
        """Count all events; raises `DatabaseUnreadable`."""
        count = select(func.count()).select_from(audit_events)
        return await self.database.read_snapshot(_scalar(count))

    async def verify(self) -> list[AuditBreak]:
        """Verify events and rows on one snapshot; raises `DatabaseUnreadable`."""
        return await self.database.read_snapshot(find_breaks)


@dataclass(eq=False)
class AuditTail:
    """Reads events as they are committed, each once, while other processes write.

    A cursor suffices: the lock of the chain's head gives each transaction its ids until its commit,
    so no lower id appears later. The first event is the first one since `since`, by default the
    first new one; `equal` are required values of the columns `request`, `event`, `actor`.
    """

    database: Database
    since: datetime | None
    equal: Mapping[str, str]
    _last: int | None = field(default=None, init=False)  # the id of the last event that was read

    async def poll(self) -> AsyncIterator[Recorded]:
        """Read what was committed since the last poll; raises `NotRead`."""
        if self._last is None:
            newest = select(func.coalesce(func.max(audit_events.c.id), 0))
            self._last = 0 if self.since else await self.database.read(_scalar(newest))
        read = partial(self.database.read, background=True)
        async for row in _rows(read, self._last, self.since):
            self._last = row.id
            if all(getattr(row, name) == value for name, value in self.equal.items()):
                yield to_recorded(row)


def _scalar(statement: Select[Any]) -> Callable[[Connection], int]:
    return lambda db: int(db.execute(statement).scalar_one())


async def _rows(
    read: Callable[..., Coroutine[Any, Any, Sequence[Row[Any]]]],
    last: int,
    since: datetime | None,
    *conditions: ColumnElement[bool],
) -> AsyncIterator[Row[Any]]:
    """Read, in batches, the events after the id `last` that were not recorded before `since`."""
    page = select(audit_events).where(*conditions).order_by(audit_events.c.id).limit(BATCH_SIZE)
    if since:
        start = since.astimezone(UTC).isoformat(timespec="milliseconds")
        page = page.where(audit_events.c.at >= start)
    is_full = True
    while is_full:
        batch = page.where(audit_events.c.id > last)
        rows = await read(lambda db, batch=batch: db.execute(batch).all())
        for row in rows:
            last = row.id
            yield row
        is_full = len(rows) == BATCH_SIZE


#: Requests read by one query, and number of queries, in search of those of some projects.
HISTORY_BATCH_SIZE = 100
MAX_BATCHES = 10
MAX_AWAITING = 100  #: waiting requests read at most


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """A request as far as it is known: the audit events remain when its row is pruned."""

    request: str
    project_id: str
    cluster_name: str
    job_id: str
    requester: str
    reason: str
    state: State  #: the current or last state
    asked_at: datetime
    changed_at: datetime  #: when that state was entered
    by: str | None = None  #: the user who caused that state; None for the bot itself
    card: Card | None = None  #: its position; None before it is posted, and once it is pruned
    asked_in: str = ""  #: the channel in which the command was typed
    deciders: frozenset[str] = frozenset()  #: the user ids of all who asked or decided
    acted_alone: bool = False  #: whether the requester acted without approval
    reviewed_by: str | None = None  #: the user who reviewed that
    lead: Lead | None = None  #: how long before the link the cancellation came, if it did


class History(Store):
    """Reads past and waiting requests, and deletes old ones."""

    @reads
    def recent(
        self, uow: UnitOfWork, count: int, project_ids: Collection[str]
    ) -> Sequence[PastRequest]:
        """Return the last `count` requests of these projects, newest first."""
        created = _created(uow, count, project_ids)
        ids = [row.request for row in created]
        events = uow.execute(queries.EVENTS.where(audit_events.c.request.in_(ids))).all()
        rows = {row.id: row for row in uow.execute(queries.REQUESTS_BY_IDS, {"ids": ids})}
        return [_past(row, events, rows.get(row.request)) for row in created]

    @reads
    def awaiting(self, uow: UnitOfWork) -> Sequence[Request]:
        """Return the requests that wait for approval, oldest first."""
        return uow.get_all(queries.requests_awaiting(uow.now, MAX_AWAITING))

    @reads
    def unreviewed(self, uow: UnitOfWork) -> Sequence[Request]:
        """Return the requests that ran without approval and were not reviewed, oldest first."""
        unreviewed = select(requests).where(text(UNREVIEWED)).order_by(requests.c.created_at)
        return uow.get_all(unreviewed.limit(MAX_AWAITING))

    async def prune(self, before: datetime, limit: int = 100) -> int:
        """Delete requests that ended before then, and old announcements; their events stay."""
        await self._write(lambda uow: uow.execute(old_announcements(before)))
        pruned = 0
        while (count := await self._prune(before, limit)) == limit:
            pruned += count
        return pruned + count

    @writes
    def _prune(self, uow: UnitOfWork, before: datetime, limit: int) -> int:
        ended = uow.get_all(lock_prunable(before, limit))
        for request in ended:
            uow.record(request, EventName.PRUNED)
        uow.execute(delete(requests).where(requests.c.id.in_([each.id for each in ended])))
        return len(ended)


def old_announcements(before: datetime) -> Delete:
    """Delete posts about watched jobs that were sent or dropped before then."""
    is_over = (posts.c.watched_job.is_not(None), posts.c.state != DUE, posts.c.at < before)
    return delete(posts).where(*is_over)


def lock_prunable(before: datetime, limit: int) -> Select[Any]:
    """Lock requests that ended before then, without those to review and with unsent posts."""
    reviewed = or_(~requests.c.acted_alone, requests.c.reviewed_by.is_not(None))
    unsent = exists().where(posts.c.request == requests.c.id, posts.c.state == DUE)
    return (
        select(requests)
        .where(requests.c.changed_at < before, text(ENDED), ~unsent, reviewed)
        .limit(limit)
        .with_for_update(of=requests, skip_locked=True)
    )


def _created(uow: UnitOfWork, count: int, project_ids: Collection[str]) -> list[Any]:
    """Read `request:created` events backwards until there are enough: they outlive the requests."""
    created = select(audit_events).where(audit_events.c.event == EventName.CREATED)
    page = created.order_by(audit_events.c.id.desc()).limit(HISTORY_BATCH_SIZE)
    found: list[Any] = []
    for _ in range(MAX_BATCHES):
        rows = uow.execute(page).all()
        found += [row for row in rows if json.loads(row.detail).get("project") in project_ids]
        if len(rows) < HISTORY_BATCH_SIZE or len(found) >= count:
            break
        page = page.where(audit_events.c.id < rows[-1].id)
    return found[:count]


def _past(created: Any, events: Sequence[Any], row: Any | None) -> PastRequest:  # noqa: ANN401 - database rows
    """Combine the audit events with the request's row, if it exists."""
    detail = json.loads(created.detail)
    own = [event for event in events if event.request == created.request]
    last = next((event for event in reversed(own) if event.event in STATES), created)
    actors = {event.event: event.actor for event in own}
    changed_at = datetime.fromisoformat(last.at)
    return PastRequest(
        request=created.request,
        project_id=detail["project"],
        cluster_name=detail["cluster"],
        job_id=detail["job"],
        requester=created.actor,
        reason=detail["reason"],
        state=State(row.state) if row else STATES.get(last.event, State.AWAITING),
        asked_at=datetime.fromisoformat(created.at),
        changed_at=row.changed_at if row else changed_at,
        by=Outcome(**json.loads(row.outcome)).by if row else last.actor,
        card=Card(channel=row.card_channel, ts=row.card_ts) if row and row.card_ts else None,
        asked_in=detail["asked_in"],
        deciders=frozenset(event.actor for event in own if event.actor),
        acted_alone=EventName.ACTED_ALONE in actors,
        reviewed_by=actors.get(EventName.REVIEWED),
        lead=Lead.of(json.loads(last.detail), changed_at),
    )
