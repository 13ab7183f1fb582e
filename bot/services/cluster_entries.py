"""Warns of entries of clusters in the settings that apply to no cluster which Atlas has."""

import asyncio
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass, field

import structlog

from bot.atlas import AtlasError
from bot.cancellation.cluster_entries import unused_entries
from bot.cancellation.errors import CancellationError
from bot.services.job_search import READ_TIMEOUT, JobFinder
from bot.services.projects import Project, Projects
from bot.tasks import log_errors, wait_up_to
from bot.timings import Timings

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class ClusterEntries:
    """Warns once of each such entry; `check` asks for another look at all of them."""

    projects: Projects
    finder: JobFinder
    _: KW_ONLY
    interval: float = Timings.organization_interval
    check: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        warned: set[str] = set()
        while True:
            self.check.clear()
            with log_errors("entries of clusters not compared"):
                sentences = await self.warnings()
                for sentence in [each for each in sentences if each not in warned]:
                    log.warning("setting needs attention", why=sentence)
                warned = {*sentences}
            await wait_up_to(self.interval, self.check)

    async def warnings(self) -> list[str]:
        with_entries = [each for each in self.projects.all if each.policies.clusters]
        lists = await asyncio.gather(*map(self._clusters, with_entries))
        found = [
            (project.name, project.policies, clusters)
            for project, clusters in zip(with_entries, lists, strict=True)
        ]
        return [*unused_entries(found)]

    async def _clusters(self, project: Project) -> Collection[str] | None:
        try:
            clusters = await self.finder.clusters(project, timeout=READ_TIMEOUT)
        except (AtlasError, CancellationError):
            return None
        return None if clusters.unread else clusters
