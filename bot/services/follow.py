"""Follows the stored downloads that go on: each is read every few seconds until it ends.

So is one that a list does not have any more: that list may have been stale.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from bot.atlas import AtlasError, Priority
from bot.cancellation.download import Download
from bot.services.observations import Observations
from bot.services.projects import Project, Projects
from bot.storage.download_store import DownloadStore
from bot.tasks import log_errors, repeat

INTERVAL = 12.0  #: seconds between two reads of one download
STEP = 2.0  #: seconds between two looks for downloads that are due
CONCURRENT_READS = 8

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Follower:
    """Reads watched downloads, and those of a person's request in a project without a channel."""

    projects: Projects
    downloads: DownloadStore
    observations: Observations
    now: Callable[[], datetime]
    #: Reads the feed of a project that no watch reads, so that requests there have a starter.
    read_feed: Callable[[Project], Awaitable[object]]
    monotonic: Callable[[], float] = time.monotonic
    _read_at: dict[str, float] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Follow until cancelled."""
        await repeat(self.step, STEP, "downloads not followed")

    async def step(self) -> None:
        """Read each download that is due."""
        followed = await self.downloads.to_follow()
        running = {download.ref.job_id for download in followed}
        self._read_at = {job: at for job, at in self._read_at.items() if job in running}
        now = self.monotonic()
        due = [item for item in followed if now >= self._read_at.get(item.ref.job_id, 0) + INTERVAL]
        self._read_at |= {item.ref.job_id: now for item in due}
        limit = asyncio.Semaphore(CONCURRENT_READS)
        await asyncio.gather(*(self._read(item, limit) for item in due))

    async def _read(self, download: Download, limit: asyncio.Semaphore) -> None:
        project = self.projects.get_or_none(download.ref.project_id)
        if project is None:
            return
        async with limit:
            with log_errors("download not followed", job=download.ref.job_id):
                if not project.is_watched:
                    await self.read_feed(project)
                await self._read_job(project, download)

    async def _read_job(self, project: Project, download: Download) -> None:
        read_at = self.now()
        try:
            job = await project.gateway.job(download.ref, Priority.WATCH)
        except AtlasError as error:
            log.info("download not read", job=download.ref.job_id, why=str(error))
            return
        policy = project.policies.of(download.ref.cluster_name)
        changes = await self.downloads.record_job(download.ref, job, read_at, policy)
        self.observations.report(changes)
