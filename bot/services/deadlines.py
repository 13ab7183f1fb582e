"""The step of each second: requests that expire or wait, auto-cancel, read-only projects."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from bot.cancellation.decisions import AutoCancelStep, auto_cancel
from bot.cancellation.download import Download
from bot.cancellation.policy import Policy
from bot.cancellation.request import OPEN, Request, State
from bot.services.projects import Projects
from bot.storage.download_store import DownloadStore
from bot.storage.request_store import RequestStore
from bot.tasks import log_errors, repeat

INTERVAL = 1.0
CLEANING_INTERVAL = 3600.0
#: Ends of a run after which its download may go on.
_FAILED_ENDS = frozenset({State.FAILED, State.REFUSED, State.CHANGED})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Acts on what is due; an error of one request or download stops no other."""

    requests: RequestStore
    downloads: DownloadStore
    projects: Projects
    start_run: Callable[[], None]  #: lets the runner look for approved requests
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    async def run(self) -> None:
        """Act each second until cancelled."""
        await repeat(self.step, INTERVAL, "deadlines not read", sleep=self.sleep)

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
        """Act on everything that is due now."""
        due = await self.requests.due()
        for request in due.ended:
            await self._act(request, self.requests.end_with_download)
        for request in due.expiring:
            await self._act(request, self.requests.expire)
        for request in due.to_remind:
            await self._act(request, self.requests.remind)
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
        with log_errors("auto-cancel not decided", project=ref.project_id, job=ref.job_id):
            if not await self._is_due(download, policy):
                return
            if await self.requests.auto_cancel(ref, policy) is not AutoCancelStep.WAIT:
                self.start_run()

    async def _is_due(self, download: Download, policy: Policy) -> bool:
        """Whether there is something to do: while a request runs, its end is awaited."""
        ref = download.ref
        found = await self.requests.of_download(ref.project_id, ref.job_id)
        request = next((request for request in found if request.is_open), None)
        step = auto_cancel(policy, download, request, self.now())
        return step is not AutoCancelStep.WAIT


def auto_cancel_result(request: Request) -> str | None:
    """Return how an automatic request counts in the metric, or None."""
    if not request.is_automatic:
        return None
    if request.state is State.CANCELLED:
        return "cancelled"
    return "failed" if request.state in _FAILED_ENDS else None


def is_cancelled_before_link(request: Request, download: Download) -> bool:
    """Whether a request cancelled its download before any answer showed a link."""
    return request.state is State.CANCELLED and not download.link_existed
