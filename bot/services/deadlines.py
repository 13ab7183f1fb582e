"""The step of each second: requests that expire or wait, auto-cancel, read-only projects."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from bot.cancellation.decisions import AutoCancelStep
from bot.cancellation.download import Download
from bot.cancellation.policy import Policy
from bot.cancellation.request import OPEN, Request, State
from bot.cancellation.starter import Starters
from bot.services.projects import Projects
from bot.storage.download_store import DownloadStore
from bot.storage.request_store import RequestStore
from bot.tasks import log_errors, repeat

INTERVAL = 1.0
CLEANING_INTERVAL = 3600.0
FEED_TIMEOUT = 5.0  #: seconds for the read of the feed that an exempt starter needs

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Acts on what is due; an error of one request or download stops no other."""

    requests: RequestStore
    downloads: DownloadStore
    projects: Projects
    start_run: Callable[[], None]  #: lets the runner look for approved requests
    #: Reads the feed about a download now; None where it cannot be read.
    read_starters: Callable[[Download], Awaitable[Starters | None]]
    count_auto_cancel: Callable[[str], None]  #: with `let_run` or `exempt`
    _busy: set[str] = field(default_factory=set)  #: job ids whose auto-cancel is being decided

    async def run(self) -> None:
        """Act each second until cancelled."""
        await self.end_read_only()
        await repeat(self.step, INTERVAL, "deadlines not read")

    async def clean(self) -> None:
        """Delete old rows each hour, in batches."""

        async def delete_all() -> None:
            while await self.downloads.delete_old():
                log.info("old rows deleted")

        await repeat(delete_all, CLEANING_INTERVAL, "old rows not deleted")

    async def step(self) -> None:
        """Act on everything that is due now."""
        due = await self.requests.due()
        for request in due.ended:
            await self._act(request, self.requests.end_with_download)
        for request in due.expiring:
            await self._act(request, self.requests.expire)
        for request in due.to_remind:
            await self._act(request, self.requests.remind)
        waiting = [item for item in await self.downloads.due_to_auto_cancel() if self._begin(item)]
        await asyncio.gather(*(self._auto_cancel(download) for download in waiting))

    async def end_read_only(self) -> None:
        """End the open requests of projects that are read-only now; warn of unnamed projects."""
        with log_errors("open requests not read"):
            for request in await self.requests.open_in(*OPEN):
                project = self.projects.get_or_none(request.ref.project_id)
                if project is None:
                    log.warning(
                        "open request of a project that the settings do not name: it waits",
                        project=request.ref.project_id,
                        request=request.id,
                    )
                elif project.policies.of(request.ref.cluster_name).read_only:
                    await self._act(request, self.requests.end_read_only)

    async def _act(self, request: Request, act: Callable[[str, Policy], Awaitable[object]]) -> None:
        project = self.projects.get_or_none(request.ref.project_id)
        if project is None:
            return
        with log_errors("request not handled at its time", request=request.id):
            await act(request.id, project.policies.of(request.ref.cluster_name))

    def _begin(self, download: Download) -> bool:
        job_id = download.ref.job_id
        if job_id in self._busy or self.projects.get_or_none(download.ref.project_id) is None:
            return False
        self._busy.add(job_id)
        return True

    async def _auto_cancel(self, download: Download) -> None:
        ref = download.ref
        try:
            with log_errors("auto-cancel not decided", project=ref.project_id, job=ref.job_id):
                policy = self.projects.policy(ref)
                is_fresh = await self._reads_exempt_starter(download, policy)
                step = await self.requests.auto_cancel(ref, policy, feed_is_fresh=is_fresh)
                if step is AutoCancelStep.LET_RUN:
                    self.count_auto_cancel("exempt")
                elif step is not AutoCancelStep.WAIT:
                    self.start_run()
        finally:
            self._busy.discard(ref.job_id)

    async def _reads_exempt_starter(self, download: Download, policy: Policy) -> bool:
        """Read the feed now, where the policy exempts somebody; whether that was possible."""
        if not policy.auto_cancel_exempt or download.auto_cancel(policy) is None:
            return False
        try:
            async with asyncio.timeout(FEED_TIMEOUT):
                return await self.read_starters(download) is not None
        except TimeoutError:
            return False


def auto_cancel_result(request: Request) -> str | None:
    """Return how an automatic request counts in the metric, or None."""
    if not request.is_automatic:
        return None
    return {State.CANCELLED: "cancelled", State.FAILED: "failed", State.REFUSED: "failed"}.get(
        request.state
    )


def is_cancelled_before_link(request: Request, download: Download) -> bool:
    """Whether a request cancelled its download before any answer showed a link."""
    return request.state is State.CANCELLED and not download.link_existed
