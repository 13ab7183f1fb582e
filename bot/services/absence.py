"""Collects the evidence that Atlas has a job no more: for one 404, or one list, is not enough."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

from bot.atlas import AtlasError, AtlasGateway, JobRef, Priority

#: Seconds in which every read of the job must have been a 404. A gateway may answer 404 to all, and
#: a list may be stale.
MISSING_FOR = 30.0


@dataclass(eq=False)
class Absence:
    """The failed reads of one job, as one reader sees them."""

    gateway: AtlasGateway
    ref: JobRef
    priority: Priority  #: of the reads of lists
    monotonic: Callable[[], float] = time.monotonic
    _since: float | None = field(default=None, init=False)  #: of the first 404 in a row

    def end(self) -> None:
        """Forget the 404s: a read had the job."""
        self._since = None

    async def is_shown_by(self, error: AtlasError) -> bool:
        """Whether this failed read completes the evidence.

        Every read was a 404 for `MISSING_FOR` seconds, and now a complete list of the cluster lacks
        the job, or the list of clusters lacks the cluster.
        """
        if error.status != HTTPStatus.NOT_FOUND:
            self._since = None
            return False
        now = self.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since >= MISSING_FOR and not await self._may_be_listed()

    async def _may_be_listed(self) -> bool:
        try:
            jobs = await self.gateway.jobs(self.ref.cluster_name, self.priority)
        except AtlasError as error:
            is_not_found = error.status == HTTPStatus.NOT_FOUND
            return not is_not_found or await self._may_have_cluster()
        is_unread = not {"", self.ref.job_id}.isdisjoint(jobs.unread)
        return is_unread or any(job.id == self.ref.job_id for job in jobs)

    async def _may_have_cluster(self) -> bool:
        try:
            clusters = await self.gateway.clusters(self.priority)
        except AtlasError:
            return True
        return bool(clusters.unread) or self.ref.cluster_name in clusters
