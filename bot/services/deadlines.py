"""The steps of each second: auto-cancel, requests that expire or wait, read-only projects."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from bot.cancellation.decisions import AutoCancelStep
from bot.cancellation.download import Download
from bot.cancellation.policy import Policy
from bot.cancellation.request import OPEN, Request
from bot.services.projects import Projects
from bot.storage.download_store import DownloadStore
from bot.storage.request_store import RequestStore
from bot.tasks import log_errors, repeat

INTERVAL = 1.0
CLEANING_INTERVAL = 3600.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Acts on what is due. What one request or download takes, or fails with, delays no other.

    Each call of a store ends within `Database`'s time limit. So two steps, of a read and of writes
    side by side, and the pause between them take less than 10 s.
    """

    requests: RequestStore
    downloads: DownloadStore
    projects: Projects
    start_run: Callable[[], None]  #: lets the runner look for approved requests
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def run(self) -> None:
        """Act on requests each second until cancelled."""
        await repeat(self.step, INTERVAL, "deadlines not read", sleep=self.sleep)

    async def run_auto_cancel(self) -> None:
        """Act on auto-cancel times each second until cancelled; it waits for nothing of `run`."""
        await repeat(self.auto_cancel, INTERVAL, "auto-cancel times not read", sleep=self.sleep)

    async def apply_settings(self) -> None:
        """Judge the open requests, and show the downloads, by the settings of this start, once."""
        while not (await self._apply_policies() and await self._show_again()):
            await self.sleep(INTERVAL)

    async def _show_again(self) -> bool:
        with log_errors("messages not edited"):
            await self.downloads.show_again()
            return True
        return False

    async def clean(self) -> None:
        """Delete old rows each hour, in batches."""

        async def delete_all() -> None:
            while await self.downloads.delete_old():
                log.info("old rows deleted")

        await repeat(delete_all, CLEANING_INTERVAL, "old rows not deleted", sleep=self.sleep)

    async def step(self) -> None:
        """Act on each request that is due now, once: on its end rather than by a reminder."""
        due = await self.requests.due()
        acts = {
            request.id: (request, act)
            for found, act in (
                (due.to_remind, self.requests.remind),
                (due.expiring, self.requests.expire),
                (due.ended, self.requests.end_with_download),
            )
            for request in found
        }
        await asyncio.gather(*(self._act(request, act) for request, act in acts.values()))

    async def auto_cancel(self) -> None:
        """Act on each download whose auto-cancel time has come."""
        await asyncio.gather(*map(self._auto_cancel, await self.downloads.due_to_auto_cancel()))

    async def _apply_policies(self) -> bool:
        """Judge each open request by its policy; whether that was possible for all.

        Those of projects that the settings do not name wait; the log warns of them.
        """
        with log_errors("open requests not read"):
            opened = await self.requests.open_in(*OPEN)
            results = [await self._apply_policy(request) for request in opened]
            return all(results)
        return False

    async def _apply_policy(self, request: Request) -> bool:
        ref = request.ref
        project = self.projects.get_or_none(ref.project_id)
        if project is None:
            log.warning(
                "open request of a project that the settings do not name: it waits",
                project=ref.project_id,
                request=request.id,
            )
            return True
        return await self._act(request, self.requests.apply_policy)

    async def _act(self, request: Request, act: Callable[[str, Policy], Awaitable[object]]) -> bool:
        """Act on a request of a project that the settings name; whether that was possible."""
        project = self.projects.get_or_none(request.ref.project_id)
        if project is None:
            return False
        with log_errors("request not handled at its time", request=request.id):
            await act(request.id, project.policies.of(request.ref.cluster_name))
            return True
        return False

    async def _auto_cancel(self, download: Download) -> None:
        ref = download.ref
        project = self.projects.get_or_none(ref.project_id)
        if project is None:
            return
        policy = project.policies.of(ref.cluster_name)
        if not download.is_due(policy, self.now()):  # today's policy has no auto-cancel
            return
        with log_errors("auto-cancel not decided", project=ref.project_id, job=ref.job_id):
            if await self.requests.auto_cancel(ref, policy) is not AutoCancelStep.WAIT:
                self.start_run()
