"""What a campaign does and sees: downloads, acts of people, processes, and who held the lease."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from bot.sandbox.atlas import RestoreJob

Kind = Literal["ask", "alone", "approve", "let_run", "command"]
#: Seconds between two reads of the lease.
LEASE_INTERVAL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project, and its policy as the campaign wrote it into the projects file."""

    name: str
    id: str
    clusters: dict[str, int]  #: the approvals that each cluster needs
    requesters: frozenset[str]
    approvers: frozenset[str]
    alone: frozenset[str]
    auto_cancel_after: float | None = None

    @property
    def may_ask(self) -> frozenset[str]:
        return self.requesters | self.approvers | self.alone


@dataclass(eq=False, slots=True, kw_only=True)
class Download:
    """A download that the campaign started."""

    job: RestoreJob
    project: Project
    cluster: str
    started: float

    @property
    def needed(self) -> int:
        return self.project.clusters[self.cluster]

    @property
    def auto_cancel_at(self) -> float | None:
        """The earliest moment at which auto-cancel may act."""
        after = self.project.auto_cancel_after
        return None if after is None else self.started + after


@dataclass(eq=False, slots=True, kw_only=True)
class Act:
    """What a person did, from when it was sent until it was answered."""

    job: str
    who: str
    kind: Kind
    began: float
    ended: float | None = None
    #: Whether the bot took it: None where no answer came.
    accepted: bool | None = None


@dataclass(eq=False, slots=True, kw_only=True)
class Process:
    """A process that may send a DELETE, by the address at which it finds Atlas."""

    name: str
    host: str
    stops: list[tuple[float, float]] = field(default_factory=list)  #: SIGSTOP to SIGCONT

    def stopped_within(self, since: float, until: float) -> bool:
        return any(begin <= until and end >= since for begin, end in self.stops)


@dataclass(frozen=True, slots=True)
class Sight:
    """A holder of the lease, and when it was first and last seen."""

    number: int
    first: float
    last: float


@dataclass(eq=False)
class Record:
    """Everything that happened, as the campaign and the stand-ins know it."""

    downloads: dict[str, Download] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    processes: dict[str, Process] = field(default_factory=dict)
    leases: list[Sight] = field(default_factory=list)
    #: What was found while it ran: rule, job or process, and what was wrong.
    found: list[tuple[str, str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    notes: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))

    def begin(self, who: str, kind: Kind, job: str) -> Act:
        act = Act(job=job, who=who, kind=kind, began=time.time())
        self.acts.append(act)
        self.counts[kind] += 1
        return act

    def of(self, job: str, *kinds: Kind) -> list[Act]:
        return [act for act in self.acts if act.job == job and (not kinds or act.kind in kinds)]

    def note(self, name: str, what: str) -> None:
        """Remember what was done to a job or a process, for its history."""
        self.notes[name].append((time.time(), what))

    def lease_number(self, at: float) -> int | None:
        """Return the number of the lease that held at a moment, None where it was not seen."""
        return next((s.number for s in self.leases if s.first <= at <= s.last), None)


class LeaseWatcher:
    """Reads the row of the lease all the time, in a thread of its own."""

    def __init__(self, engine: Engine, sights: list[Sight]) -> None:
        self._engine, self._sights = engine, sights
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LEASE_INTERVAL):
            now = time.time()
            try:
                with self._engine.connect() as db:
                    number = int(db.execute(text("SELECT number FROM lease")).scalar_one())
            except SQLAlchemyError:
                continue  # the table is not there yet, or the file is busy
            last = self._sights[-1] if self._sights else None
            if last and last.number == number:
                self._sights[-1] = Sight(number, last.first, now)
            else:
                self._sights.append(Sight(number, now, now))


@dataclass(frozen=True, slots=True)
class Stored:
    """The rows of the database at the end."""

    events: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    downloads: dict[str, dict[str, Any]]
    unposted: list[dict[str, Any]]

    @classmethod
    def read(cls, engine: Engine) -> Self:
        with engine.connect() as db:

            def rows(statement: str) -> Iterator[dict[str, Any]]:
                return (dict(row) for row in db.execute(text(statement)).mappings())

            return cls(
                [
                    json.loads(row["body"])
                    for row in rows("SELECT body FROM audit_events ORDER BY id")
                ],
                list(rows("SELECT * FROM requests ORDER BY created_at")),
                {row["job_id"]: row for row in rows("SELECT * FROM downloads")},
                list(rows("SELECT * FROM replies WHERE posted_at IS NULL")),
            )

    def requests_of(self, job: str) -> list[dict[str, Any]]:
        return [row for row in self.requests if row["job_id"] == job]

    def events_of(self, job: str) -> list[dict[str, Any]]:
        ids = {row["id"] for row in self.requests_of(job)}
        return [e for e in self.events if e["request"] in ids or e.get("job") == job]
