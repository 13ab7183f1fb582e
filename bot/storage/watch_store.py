"""The watch's side of the ledger: who looks at which project, what was seen, what is to be told."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from bot.atlas import JobRef
from bot.cancellation.errors import Conflict
from bot.cancellation.lifecycle import Card
from bot.cancellation.posts import NAMESPACE
from bot.cancellation.watched_job import RecordedJob, WatchedJob, WatchedState, compare
from bot.storage.queries import watch as statements
from bot.storage.tables import shown_from_json, shown_to_json
from bot.storage.unit_of_work import UnitOfWork, read, write

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from bot.atlas import RestoreJob
    from bot.cancellation.watched_job import JobChange
    from bot.storage.database import Database

T = TypeVar("T")

#: Seconds for which a replica looks at a project without renewing.
LEASE = timedelta(seconds=20)

#: Seconds for which an announcement is taken: longer than any call to Slack may last.
CLAIM = timedelta(seconds=15)

#: After so long without a look, what came and went meanwhile is history and no news.
FORGOTTEN = timedelta(days=7)

#: Rows that one INSERT writes at most: databases limit the values of a statement.
AT_ONCE = 500

#: An error's text is kept for the operator, not a whole page of it.
ERROR_LENGTH = 200


class WatchStore:
    """What the watch writes down.

    Args:
        database: the ledger's.
        now: the clock, aware datetimes.
        owner: the name of this process, different at each start.
    """

    def __init__(self, database: Database, now: Callable[[], datetime], owner: str) -> None:
        self._database = database
        self._now = now
        self._owner = owner

    async def hold(self, project_id: str) -> bool:
        """Take or renew the lease of a project; False while another replica has it."""
        try:
            return await self._write(lambda uow: self._hold(uow, project_id))
        except Conflict:
            return False  # another replica wrote the project's first lease

    def _hold(self, uow: UnitOfWork, project_id: str) -> bool:
        until = uow.now + LEASE
        before = uow.execute(statements.lease_of(project_id)).first()
        if before is None:
            uow.execute(statements.new_lease(project_id, self._owner, until))
            return True
        take = statements.take_lease(project_id, self._owner, uow.now, until)
        if not uow.execute(take).first():
            return False
        if before.lease_until < uow.now - FORGOTTEN:
            uow.execute(statements.forget_clusters(project_id))
        return True

    async def release(self, project_id: str) -> None:
        """Let another replica look at once."""

        def work(uow: UnitOfWork) -> None:
            uow.execute(statements.end_lease(project_id, self._owner, uow.now))

        await self._write(work)

    async def adopt(self, project_id: str, clusters: Collection[str]) -> Sequence[str] | None:
        """Write down which clusters there are.

        Those that are there when the watch begins may have a history; in those that come later
        everything is news.

        Returns:
            clusters that are there no more, and have jobs that are open on record; None if the
            project is not ours any more.
        """

        def work(uow: UnitOfWork) -> list[str] | None:
            if not self._ours(uow, project_id):
                return None
            known = set(uow.execute(statements.clusters_of(project_id)).scalars())
            looked_at = uow.now if known else None
            rows = [
                {"project_id": project_id, "cluster_name": name, "first_read_at": looked_at}
                for name in sorted(set(clusters) - known)
            ]
            for some in _batches(rows):
                uow.execute(statements.new_clusters(some))
            open_in = uow.execute(statements.clusters_with_open_jobs(project_id)).scalars()
            return sorted(set(open_in) - set(clusters))

        return await self._write(work)

    async def note(
        self, project_id: str, cluster: str, jobs: Sequence[RestoreJob]
    ) -> Sequence[JobChange] | None:
        """Write down what a look at a cluster has found, all of it or nothing.

        Returns:
            what people are to be told of; None if the project is not ours any more.
        """

        def work(uow: UnitOfWork) -> list[JobChange] | None:
            if not self._ours(uow, project_id):
                return None
            first = uow.execute(statements.not_looked_at(project_id, cluster)).first()
            known = _known(uow, project_id, cluster)
            findings = compare(jobs, known, first=first is not None)
            _write_down(uow, project_id, cluster, findings)
            if first:
                uow.execute(statements.cluster_looked_at(project_id, cluster, uow.now))
            return [finding for finding in findings if finding.told]

        return await self._write(work)

    def _ours(self, uow: UnitOfWork, project_id: str) -> bool:
        # Locks the lease's row, so that nobody takes the project over in the midst of this.
        hold = statements.hold_lease(project_id, self._owner, uow.now, uow.now + LEASE)
        return uow.execute(hold).first() is not None

    async def claim(self) -> WatchedJob | None:
        """Take the next sighting that Slack is to be told of, if there is one."""
        if await self._read(_next_due) is None:
            return None  # the usual case costs one read, and no write lock

        def work(uow: UnitOfWork) -> WatchedJob | None:
            found = _next_due(uow)
            if found is None:
                return None
            claim = statements.claim_sighting(found, uow.now, uow.now + CLAIM)
            row = uow.execute(claim).first()
            return _sighting(uow, row) if row else None

        return await self._write(work)

    async def told(self, sighting: WatchedJob, message: Card, *, current: bool) -> None:
        """Note where the announcement stands.

        Args:
            sighting: as it was claimed.
            message: its place; an empty `ts` where Slack did not say.
            current: whether it is sure that the message shows the sighting as it was claimed. If
                not, it is due again at once.
        """

        def work(uow: UnitOfWork) -> None:
            due_at = statements.nothing_due_but(sighting.version) if current else uow.now
            values = {
                "channel": message.channel,
                "ts": message.ts,
                "due_at": due_at,
                "attempts": 0,
                "error": None,
            }
            uow.execute(statements.put_back(sighting.id, values))

        await self._write(work)

    async def again(self, sighting: WatchedJob, seconds: float, error: str) -> None:
        """Put the sighting back, due again in `seconds`."""

        def work(uow: UnitOfWork) -> None:
            due_at = uow.now + timedelta(seconds=seconds)
            values = {"due_at": due_at, "error": error[:ERROR_LENGTH]}
            uow.execute(statements.put_back(sighting.id, values))

        await self._write(work)

    async def given_up(self, sighting: WatchedJob, error: str) -> None:
        """Tell this no more, and keep why."""

        def work(uow: UnitOfWork) -> None:
            due_at = statements.nothing_due_but(sighting.version)
            values = {"due_at": due_at, "error": error[:ERROR_LENGTH]}
            uow.execute(statements.put_back(sighting.id, values))

        await self._write(work)

    async def _write(self, work: Callable[[UnitOfWork], T]) -> T:
        return await write(self._database, self._now, work)

    async def _read(self, work: Callable[[UnitOfWork], T]) -> T:
        return await read(self._database, self._now, work)


def _batches(rows: Sequence[dict[str, Any]]) -> list[Sequence[dict[str, Any]]]:
    """Split rows for INSERTs that no database refuses as too long."""
    return [rows[begin : begin + AT_ONCE] for begin in range(0, len(rows), AT_ONCE)]


def _known(uow: UnitOfWork, project_id: str, cluster: str) -> Mapping[str, RecordedJob]:
    rows = uow.execute(statements.sightings_in(project_id, cluster)).all()
    return {
        row.job_id: RecordedJob(seen=WatchedState(row.state), announced=row.version > 0)
        for row in rows
    }


def _write_down(
    uow: UnitOfWork, project_id: str, cluster: str, findings: Sequence[JobChange]
) -> None:
    new = [_new_row(uow.now, project_id, cluster, each) for each in findings if each.is_new]
    for some in _batches(new):
        uow.execute(statements.new_sightings(some))
    for finding in findings:
        if not finding.is_new:
            ref = JobRef(project_id, cluster, finding.job_id)
            values = _changes(uow.now, finding)
            uow.execute(statements.change_sighting(ref, values))


def _new_row(now: datetime, project_id: str, cluster: str, finding: JobChange) -> dict[str, Any]:
    name = f"sighting/{project_id}/{cluster}/{finding.job_id}"
    return {
        "project_id": project_id,
        "cluster_name": cluster,
        "job_id": finding.job_id,
        "state": finding.seen,
        "shown": json.dumps(shown_to_json(finding.shown)) if finding.shown else "",
        "first_seen_at": now,
        "changed_at": now,
        "version": int(finding.told),
        "client_msg_id": str(uuid.uuid5(NAMESPACE, name)),
        "due_at": now if finding.told else None,
    }


def _changes(now: datetime, finding: JobChange) -> dict[str, Any]:
    values: dict[str, Any] = {"state": finding.seen, "changed_at": now}
    if finding.shown:
        values["shown"] = json.dumps(shown_to_json(finding.shown))
    return values | (statements.told_anew(now) if finding.told else {})


def _next_due(uow: UnitOfWork) -> int | None:
    found: int | None = uow.execute(statements.due_sightings(uow.now)).scalar()
    return found


def _sighting(uow: UnitOfWork, row: Any) -> WatchedJob:  # noqa: ANN401 - a database row
    ref = JobRef(row.project_id, row.cluster_name, row.job_id)
    return WatchedJob(
        id=row.id,
        ref=ref,
        seen=WatchedState(row.state),
        shown=shown_from_json(json.loads(row.shown)),
        first_seen_at=row.first_seen_at,
        changed_at=row.changed_at,
        version=row.version,
        client_msg_id=row.client_msg_id,
        attempts=row.attempts,
        message=Card(channel=row.channel, ts=row.ts) if row.channel else None,
        request=uow.get_or_none(statements.newest_request_for(ref)),
    )
