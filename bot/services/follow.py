"""Follows the stored downloads that go on: each is read every few seconds until it ends."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog

from bot.atlas import AtlasError, Priority
from bot.cancellation.download import Download
from bot.services.absence import Absence
from bot.services.projects import Project, Projects
from bot.storage.download_store import DownloadStore
from bot.tasks import cancel_and_wait, log_errors, repeat

INTERVAL = 12.0  #: seconds between two reads of one download
STEP = 2.0  #: seconds between two looks for downloads that are due
CONCURRENT_READS = 8  #: downloads of one project that are read side by side

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Follower:
    """Reads watched downloads, and those of a person's request in a project without a channel."""

    projects: Projects
    downloads: DownloadStore
    now: Callable[[], datetime]
    #: Reads the feed of a project that no watch reads, so that requests there have a starter.
    read_feed: Callable[[Project], Awaitable[object]]
    monotonic: Callable[[], float] = time.monotonic
    _read_at: dict[str, float] = field(default_factory=dict, init=False)
    #: The evidence that a job is missing, by its id.
    _absences: dict[str, Absence] = field(default_factory=dict, init=False)
    #: The reads that are on their way, by project.
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            await repeat(self.step, STEP, "downloads not followed")
        finally:
            await cancel_and_wait(*self._tasks.values())

    async def step(self) -> None:
        """Begin to read each download that is due, but none of a project whose reads still wait.

        A `Retry-After` lets them wait for minutes, which must hold up no other project.
        """
        followed = await self.downloads.going_on()
        running = {download.ref.job_id for download in followed}
        self._read_at = {job: at for job, at in self._read_at.items() if job in running}
        self._absences = {job: it for job, it in self._absences.items() if job in running}
        now = self.monotonic()
        due: defaultdict[str, list[Download]] = defaultdict(list)
        for item in followed:
            is_due = now >= self._read_at.get(item.ref.job_id, 0) + INTERVAL
            if is_due and item.ref.project_id not in self._tasks:
                due[item.ref.project_id].append(item)
                self._read_at[item.ref.job_id] = now
        for project_id, items in due.items():
            task = asyncio.create_task(self._read_all(items), name=f"follow {project_id}")
            self._tasks[project_id] = task
            task.add_done_callback(partial(self._done, project_id))

    async def idle(self) -> None:
        """Wait until no read is on its way."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def _done(self, project_id: str, _task: "asyncio.Task[None]") -> None:
        self._tasks.pop(project_id, None)

    async def _read_all(self, items: Collection[Download]) -> None:
        limit = asyncio.Semaphore(CONCURRENT_READS)
        await asyncio.gather(*(self._read(item, limit) for item in items))

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
        ref, read_at = download.ref, self.now()
        policy = project.policies.of(ref.cluster_name)
        absence = self._absences.setdefault(
            ref.job_id, Absence(project.gateway, ref, Priority.WATCH, self.monotonic)
        )
        try:
            job = await project.gateway.job(ref, Priority.WATCH)
        except AtlasError as error:
            log.info("download not read", job=ref.job_id, why=str(error))
            if not await absence.is_shown_by(error):
                return
            await self.downloads.record_gone(ref, policy)
        else:
            absence.end()
            await self.downloads.record_job(ref, job, read_at, policy)
