"""Reads the audit events and their figures, and whether one was changed or removed."""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter, itemgetter
from statistics import median
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, func, select

from bot.atlas import JobRef
from bot.cancellation.events import EventName, Recorded
from bot.cancellation.lifecycle import State
from bot.cancellation.quarantine import WOULD_HAVE
from bot.storage import queries
from bot.storage.database import Database
from bot.storage.job_store import starter_from_json
from bot.storage.tables import audit_events, jobs, requests, to_ref
from bot.storage.verification import BATCH_SIZE, DAMAGE, AuditBreak, as_stored, find_breaks

MIN_ID = -(2**63)  #: another program may have stored ids below 1


@dataclass(frozen=True)
class AuditLog:
    """Reads the audit events in batches: there may be many."""

    database: Database

    async def events(self, since: datetime | None = None, **equal: str) -> AsyncIterator[Recorded]:
        """Read events in the order in which they were written; raises `DatabaseUnreadable`.

        `equal` are required values of the columns `request`, `event`, `actor`, `team`.
        """
        is_equal = [audit_events.c[name] == value for name, value in equal.items()]
        page = queries.RECORDED.where(*is_equal).order_by(audit_events.c.id).limit(BATCH_SIZE)
        if since:
            page = page.where(audit_events.c.at >= _start(since))
        last, is_full = MIN_ID, True
        while is_full:
            rows = await self.database.read_snapshot(partial(_after, last, page))
            for row in rows:
                last = row.id
                yield queries.to_recorded(row)
            is_full = len(rows) == BATCH_SIZE

    async def count(self) -> int:
        """Count all events; raises `DatabaseUnreadable`."""
        count = select(func.count()).select_from(audit_events)
        return await self.database.read_snapshot(lambda db: int(db.execute(count).scalar_one()))

    async def verify(self) -> list[AuditBreak]:
        """Verify events and rows on one snapshot; raises `DatabaseUnreadable`."""
        return await self.database.read_snapshot(find_breaks)


def _start(since: datetime) -> str:
    """Return a moment as the events have it."""
    return since.astimezone(UTC).isoformat(timespec="milliseconds")


def _after(last: int, page: Select[Any], db: Connection) -> Sequence[Row[Any]]:
    return db.execute(page.where(audit_events.c.id > last)).all()


T = TypeVar("T")
NOT_KNOWN = "not known"
#: Without the downloads of the first read of their cluster.
_DOWNLOADS = as_stored(jobs).where(jobs.c.was_running.is_not(True), jobs.c.version > 0)
_RESTORES = as_stored(audit_events).where(audit_events.c.event == EventName.RESTORE_SEEN)
_REQUESTS = as_stored(requests).order_by(requests.c.created_at)


@dataclass(frozen=True, slots=True)
class _Asked:
    ref: JobRef
    project: str
    state: State
    would_have: bool  #: whether quarantine only observed it
    posted_at: float | None  #: of the bot's own card

    @classmethod
    def of(cls, row: Row[Any]) -> "_Asked":
        is_posted = row.card_ts and not row.requester
        return cls(
            ref=to_ref(row),
            project=_text(row.project_name),
            state=State(row.state),
            would_have=WOULD_HAVE in (json.loads(row.outcome).get("sentence") or ""),
            posted_at=float(row.card_ts) if is_posted else None,
        )


@dataclass(frozen=True, slots=True)
class _Download:
    ref: JobRef
    starter: str
    was_live: bool  #: or may have been
    posted_at: float | None  #: of the announcement

    @classmethod
    def of(cls, row: Row[Any]) -> "_Download":
        starter = starter_from_json(row.started_by or "{}").starter
        return cls(
            ref=to_ref(row),
            starter=(starter and starter.certain and starter.name) or NOT_KNOWN,
            was_live=row.live_since is not None or bool(row.link_used),
            posted_at=float(row.ts) if row.ts else None,
        )


@dataclass(frozen=True, slots=True)
class Summary:
    projects: Sequence[Mapping[str, Any]]  #: the figures of each as JSON values, by its name
    damaged: Sequence[str]  #: the rows that are not counted, since another program changed them


def read_summary(db: Connection, since: datetime | None) -> Summary:
    """Return the figures of each project."""
    asked, seen, into_others = _REQUESTS, _DOWNLOADS, _RESTORES
    if since:
        asked = asked.where(requests.c.created_at >= since)
        seen = seen.where(jobs.c.first_seen_at >= since)
        into_others = into_others.where(audit_events.c.at >= _start(since))
    damaged: list[str] = []
    about, downloads = defaultdict(list), defaultdict(list)
    for request in _readable(db, asked, _Asked.of, damaged):
        about[request.ref].append(request)
    for download in _readable(db, seen, _Download.of, damaged):
        downloads[download.ref.project_id].append(download)
    restores = Counter(_readable(db, into_others, _project_of, damaged))
    found = [
        _figures(project, downloads[project], about, restores[project])
        for project in {*downloads, *restores}
    ]
    return Summary(sorted(found, key=itemgetter("project")), damaged)


def _readable(
    db: Connection, rows: Select[Any], parse: Callable[[Row[Any]], T], damaged: list[str]
) -> Iterator[T]:
    """Yield the rows that can be read, and add a name of each other one to `damaged`."""
    table = rows.get_final_froms()[0]
    for row in db.execute(rows):
        try:
            yield parse(row)
        except DAMAGE:
            damaged.append(f"row {row.id} of {table}")


def _project_of(row: Row[Any]) -> str:
    return _text(json.loads(row.detail)["project"])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _figures(
    name: str | None,
    downloads: Sequence[_Download],
    about: Mapping[JobRef, Sequence[_Asked]],
    restores: int = 0,
) -> dict[str, Any]:
    """Return the figures of one project, from its downloads and the requests `about` them."""
    states, would_have = Counter[tuple[State, bool]](), 0
    delays: list[float] = []  # seconds from start to announcement
    for download in downloads:
        own = about.get(download.ref, ())
        for request in own:
            name = request.project
            states[request.state, not download.was_live] += 1
            would_have += request.would_have
        delays += _delay(download, own)
    by = Counter(map(attrgetter("starter"), downloads))
    return {
        "project": name,
        "downloads": len(downloads),
        "by": dict(by.most_common()),
        "kept": states[State.KEPT, True] + states[State.KEPT, False],
        "cancelled_before_link": states[State.CANCELLED, True],
        "cancelled_after_link": states[State.CANCELLED, False],
        "would_have_been_cancelled": would_have,
        "seconds_to_announcement_median": median(delays) if delays else None,
        "seconds_to_announcement_worst": max(delays, default=None),
        "restores_into_other_projects": restores,
    }


def _delay(download: _Download, about: Iterable[_Asked]) -> list[float]:
    """Return the seconds until the announcement, or the bot's own card, if either was posted."""
    posted = (download.posted_at, *(each.posted_at for each in about))
    times = [each for each in posted if each is not None]
    return [round(min(times) - download.ref.started_at.timestamp(), 1)] if times else []


NO_DOWNLOADS = _figures(None, (), {})  #: the figures where no project has downloads
