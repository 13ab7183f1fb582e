"""Judges keeps again once it is known who started the download: its starter may not keep it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import TypeAlias

import structlog

from bot.atlas import AtlasError, RestoreJob
from bot.cancellation.errors import RightsNotChecked, StateConflict
from bot.cancellation.quarantine import WatchedCluster, is_candidate
from bot.cancellation.starter import StartedBy
from bot.services.projects import Projects
from bot.storage.quarantine_store import Quarantined, QuarantineStore
from bot.tasks import log_errors
from bot.timings import Timings

READ_TIMEOUT = 3.0  #: seconds for the read of a job before its keep is voided
#: Seconds until the next try, unless Slack asks to wait longer, or while a request is in the way.
RETRY_INTERVAL = 5.0

#: A keep, by its request and time, and the starter by which it was judged.
Judged: TypeAlias = tuple[str, datetime, StartedBy]

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class KeptDownloads:
    """Voids keeps of starters."""

    store: QuarantineStore
    projects: Projects
    #: Reads a user's e-mail address from Slack; raises `RightsNotChecked` where Slack cannot say.
    email_of: Callable[[str], Awaitable[str | None]]
    _: KW_ONLY
    on_change: Callable[[], None] = lambda: None  #: called after changes that cards show
    interval: float = Timings.quarantine_interval  #: seconds between two steps
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _judged: set[Judged] = field(default_factory=set, init=False)

    async def run(self) -> None:
        """Step until cancelled; after an error the next step tries again."""
        pause = 0.0
        while True:
            await self.sleep(self.interval + pause)
            pause = 0.0
            with log_errors("kept downloads not judged"):
                pause = await self.step()

    async def step(self) -> float:
        """Judge each keep by each new starter; return the seconds until the next try."""
        kept = {_key(each): each for each in await self.store.kept()}
        self._judged &= kept.keys()
        new = [each for key, each in kept.items() if key not in self._judged]
        known = [each for each in new if each.job.started_by.starter]
        return max(await asyncio.gather(*map(self._judge, known)), default=0.0)

    async def _judge(self, kept: Quarantined) -> float:
        ref = kept.request.ref
        watched = self.store.watched(ref.project_id, ref.cluster_name)
        if watched is None:  # without quarantine
            return 0.0
        try:
            email = await self.email_of(kept.request.outcome.by or "")
        except RightsNotChecked as error:
            log.info("keep not judged", request=kept.request.id, why=str(error))
            return max(RETRY_INTERVAL, error.retry_after)
        if is_candidate(kept.job.started_by, email) and not await self._void(kept, watched):
            return RETRY_INTERVAL
        self._judged.add(_key(kept))
        return 0.0

    async def _void(self, kept: Quarantined, watched: WatchedCluster) -> bool:
        """Void a keep; False while a person's request leaves no room for another quarantine."""
        job = await self._read_job(kept)
        if job and job.is_over:
            return True
        try:
            is_void = await self.store.void_keep(kept, watched)
        except StateConflict:
            return True  # it ended meanwhile
        self.on_change()
        return is_void

    async def _read_job(self, kept: Quarantined) -> RestoreJob | None:
        """Return the job; None if Atlas does not answer."""
        ref = kept.request.ref
        try:
            atlas = self.projects.get(ref.project_id).atlas
            return await atlas.restore_job(ref, timeout=READ_TIMEOUT)
        except AtlasError as error:
            log.info("kept job not read", job=ref.job_id, why=str(error))
            return None


def _key(kept: Quarantined) -> Judged:
    return kept.request.id, kept.request.changed_at, kept.job.started_by
