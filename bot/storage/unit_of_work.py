"""The unit of work, which is one transaction, and the base of the stores that run such units."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import BindParameter, Connection, bindparam, case, insert, literal, select, update

from bot.atlas import JobRef
from bot.cancellation.change import Change, DownloadChange
from bot.cancellation.download import Download
from bot.cancellation.errors import MaybeRecorded
from bot.cancellation.events import Event, EventName, canonical, chain
from bot.cancellation.people import Person
from bot.cancellation.policy import Policy
from bot.cancellation.replies import ReplyKind, audience
from bot.cancellation.request import Request
from bot.log_config import log_audit_event
from bot.storage.database import Database
from bot.storage.lease import Lease, lock_lease
from bot.storage.tables import (
    Instant,
    audit_events,
    download_from_row,
    download_to_row,
    downloads,
    replies,
)

T = TypeVar("T")
IDS_AT_ONCE = 500  #: those that one statement selects by


def batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Return parts of ids, each for one statement: SQLite may take 999 values."""
    return (ids[first : first + IDS_AT_ONCE] for first in range(0, len(ids), IDS_AT_ONCE))


def wall_clock_ms(now: datetime) -> datetime:
    """Return the time in whole milliseconds, so that rows and events have the same times."""
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class UnitOfWork:
    """Reads and writes of one transaction, all with the same time.

    Audit events and replies are collected, and written at the end: the events in the order of the
    chain. Changes are collected for the log and the metrics.
    """

    def __init__(self, db: Connection, now: datetime) -> None:
        self.db = db
        self.now = wall_clock_ms(now)
        self.events: list[Event] = []
        self.changes: list[Change] = []
        self.lines: list[dict[str, Any]] = []  # of the events, with their hashes
        self.last_event: int | None = None  # its number, once it is written
        self.has_messages = False
        self._replies: list[dict[str, Any]] = []

    def execute(self, statement: Any, values: Any = None) -> Any:  # noqa: ANN401 - statements and results of any shape
        return self.db.execute(statement, values)

    def download(self, project_id: str, job_id: str) -> Download | None:
        return _download(self.db, project_id, job_id)

    def add_download(self, *new: Download) -> None:
        """Insert downloads, in one statement."""
        keys = ({"project_id": item.ref.project_id, "job_id": item.ref.job_id} for item in new)
        pairs = zip(keys, new, strict=True)
        rows = [{**key, **download_to_row(item), "changed_at": self.now} for key, item in pairs]
        if rows:
            self.execute(insert(downloads), rows)

    def update_download(self, *changed: Download) -> None:
        """Write downloads that are stored, in one statement."""
        rows = [{**_key(item.ref), **download_to_row(item)} for item in changed]
        if rows:
            self.execute(update(downloads).where(*_HAS_KEY), rows)

    def show(self, *refs: JobRef) -> None:
        """Let the messages of these downloads show this change, by one statement."""
        if not refs:
            return
        is_behind = downloads.c.shown_version < downloads.c.wanted_version
        values = {
            "wanted_version": downloads.c.wanted_version + 1,
            "changed_at": case(
                (is_behind, downloads.c.changed_at), else_=literal(self.now, Instant)
            ),
        }
        self.execute(update(downloads).where(*_HAS_KEY).values(**values), [*map(_key, refs)])
        self.has_messages = True

    def reply(
        self,
        kind: ReplyKind,
        policy: Policy,
        download: Download,
        request: Request | None = None,
        *,
        actor: str | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a reply to the download's thread, which notifies those who must act.

        A download without a channel has no message, so that nobody would ever see a reply.
        """
        if download.channel is None:
            return
        notified = audience(kind, policy, download, request)
        row = {
            "project_id": download.ref.project_id,
            "job_id": download.ref.job_id,
            "kind": str(kind),
            "request": request and request.id,
            "actor": actor,
            "detail": json.dumps(detail or {}),
            "users": json.dumps(sorted(notified.people.users)),
            "groups": json.dumps(sorted(notified.people.groups)),
            "is_broadcast": notified.is_broadcast,
            "at": self.now,
        }
        self._replies.append(row)
        self.has_messages = True

    def record(
        self,
        name: EventName,
        request: Request | None = None,
        *,
        actor: Person | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> None:
        """Append an event to the audit log; `actor` is None for the bot itself."""
        team = actor.team if actor else (request.team if request else None)
        self.events.append(
            Event(
                name=name,
                at=self.now.isoformat(timespec="milliseconds"),
                request=request.id if request else None,
                actor=actor.id if actor else None,
                team=team or None,
                detail=detail or {},
            )
        )

    def flush(self) -> None:
        """Write the replies, and the events, each chained to the one before it."""
        if self._replies:
            self.execute(insert(replies), self._replies)
        if not self.events:
            return
        newest = select(audit_events.c.hash).order_by(audit_events.c.id.desc()).limit(1)
        previous = self.execute(newest).scalar() or ""
        for event in self.events:
            fields = event.fields()
            body = canonical(fields)
            previous = chain(previous, body)
            row = {name: fields[name] for name in ("at", "event", "request", "actor", "team")}
            added = self.execute(insert(audit_events), {**row, "body": body, "hash": previous})
            self.last_event = added.inserted_primary_key[0]
            self.lines.append({**fields, "hash": previous})


def _is_download(
    project_id: str | BindParameter[str], job_id: str | BindParameter[str]
) -> tuple[Any, Any]:
    return downloads.c.project_id == project_id, downloads.c.job_id == job_id


def _download(db: Connection, project_id: str, job_id: str) -> Download | None:
    row = db.execute(select(downloads).where(*_is_download(project_id, job_id))).first()
    return download_from_row(row) if row else None


#: The condition of a statement for several downloads, each with the values of `_key`.
_HAS_KEY = _is_download(bindparam("of_project"), bindparam("of_job"))


def _key(ref: JobRef) -> dict[str, Any]:
    return {"of_project": ref.project_id, "of_job": ref.job_id}


@dataclass(eq=False, slots=True)
class Commit:
    """What the log, the metrics and the outbox learn once a transaction is committed."""

    lines: list[dict[str, Any]]
    last_event: int | None
    changes: Sequence[Change]
    report: Callable[[Change], None]
    on_messages: Callable[[], None] | None  #: None without messages

    def is_stored(self, db: Connection) -> bool:
        """Whether it is in the database, by its last event, else by a download that it changed.

        Without either, messages at most are to be sent.
        """
        if self.lines:
            of_last = select(audit_events.c.hash).where(audit_events.c.id == self.last_event)
            return bool(db.execute(of_last).scalar() == self.lines[-1]["hash"])
        for change in self.changes:
            if isinstance(change, DownloadChange):
                ref = change.after.ref
                return _download(db, ref.project_id, ref.job_id) != change.before
        return True

    def tell(self) -> None:
        for line in self.lines:
            log_audit_event(line)
        for change in self.changes:
            self.report(change)
        if self.on_messages:
            self.on_messages()


@dataclass(eq=False)
class Store:
    """The base of the stores: each method that `reads` or `writes` decorates is one transaction."""

    database: Database
    now: Callable[[], datetime]
    #: Each write of `serve` proves that it is held; None at the command line beside a bot.
    lease: Lease | None
    #: Called after each commit that writes messages.
    on_messages: Callable[[], None] = field(default=lambda: None, kw_only=True)

    async def _write(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` and commit it; raises what `Database.write` raises."""
        complete: list[Commit] = []

        def run(db: Connection) -> T:
            uow = UnitOfWork(db, self.now())
            result = work(uow)
            uow.flush()
            wake = self.on_messages if uow.has_messages else None
            # What a command stores beside a bot is reported by the run of its request.
            changes = uow.changes if self.lease else []
            complete.append(Commit(uow.lines, uow.last_event, changes, self.database.report, wake))
            return result

        lock = self.lease.check if self.lease else lock_lease
        try:
            result = await self.database.write_in_turn(lock, run)
        except (MaybeRecorded, asyncio.CancelledError):
            self.database.doubtful.extend(complete)
            raise
        complete[0].tell()
        return result


S = TypeVar("S", bound=Store)
P = ParamSpec("P")
Transaction = Callable[Concatenate[S, UnitOfWork, P], T]
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


def reads(work: Transaction[S, P, T]) -> Method[S, P, T]:
    """Make `work` an async method that reads in one transaction; it raises `NotRead`."""

    @wraps(work)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        def run(db: Connection) -> T:
            return work(self, UnitOfWork(db, self.now()), *args, **kwargs)

        return await self.database.read(run)

    return method


def writes(work: Transaction[S, P, T]) -> Method[S, P, T]:
    """Make `work` an async method that commits one transaction; it raises `StorageError`."""

    @wraps(work)
    async def method(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._write(lambda uow: work(self, uow, *args, **kwargs))

    return method
