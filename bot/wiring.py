"""Wires the floors below Slack: the clients of Atlas, the ledger, and who runs requests."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from bot.atlas import AtlasClient, AtlasError, AtlasRejected
from bot.cancellation.projects import Project, Projects
from bot.services.job_search import JobFinder
from bot.services.rate_limit import RateLimitBudget
from bot.services.runner import Runner
from bot.services.service import CancellationService
from bot.storage.clock import DatabaseClock
from bot.storage.history import History
from bot.storage.lease_store import LeaseStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from bot.storage.watch_store import WatchStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.atlas import CallRecord
    from bot.cancellation.lifecycle import State
    from bot.settings import ProjectSettings, Settings
    from bot.storage.database import Database
    from bot.timings import Timings
    from bot.tracing import Tracing
    from bot.web.metrics import Metrics

#: The paths that share a project's rate limit for backups.
BACKUPS = "/backup/"

#: What the log says of a project whose key or id may be wrong; `doctor` says more.
UNREADABLE = "Atlas does not show the project: cancel-restore doctor says what to check"

#: Seconds between tries to read a project; nothing waits for that.
NAME_PAUSE = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreServices:
    """The floors below Slack."""

    clock: DatabaseClock
    clients: dict[str, AtlasClient]
    buckets: dict[str, RateLimitBudget]
    projects: Projects
    ledger: RequestStore
    leases: LeaseStore
    posts: OutboxStore
    sightings: WatchStore
    runner: Runner
    desk: CancellationService

    def name_of(self, project_id: str) -> str:
        """Return what people call a project: its id until that is known."""
        project = self.projects.find(project_id)
        return project.name if project else project_id


def build_core_services(
    settings: Settings,
    database: Database,
    metrics: Metrics,
    owner: str,
    *,
    on_change: Callable[[], None],
    tracing: Tracing,
    timings: Timings,
) -> CoreServices:
    """Wire the floors below Slack."""
    buckets = {p.id: RateLimitBudget(time.monotonic) for p in settings.projects}
    clients = {
        p.id: build_atlas(settings, p, metrics, buckets[p.id], tracing) for p in settings.projects
    }
    projects = Projects(
        Project(id=p.id, name=p.name or p.id, policy=p.policy, atlas=clients[p.id])
        for p in settings.projects
    )

    def entered(state: State) -> None:
        metrics.state_entered(state.value)

    clock = DatabaseClock(database)
    ledger = RequestStore(database, clock, entered)
    leases = LeaseStore(database, clock, owner, lease=timings.request_lease, entered=entered)
    runner = Runner(
        leases,
        projects,
        on_change=on_change,
        tracer=tracing.trail,
        renewal_interval=timings.lease_renewal_interval,
    )
    return CoreServices(
        clock=clock,
        clients=clients,
        buckets=buckets,
        projects=projects,
        ledger=ledger,
        leases=leases,
        posts=OutboxStore(database, clock),
        sightings=WatchStore(database, clock, owner),
        runner=runner,
        desk=CancellationService(
            ledger,
            projects,
            runner,
            finder=JobFinder(projects, buckets),
            history=History(database, clock),
            now=clock,
            on_change=on_change,
        ),
    )


def build_atlas(
    settings: Settings,
    project: ProjectSettings,
    metrics: Metrics,
    bucket: RateLimitBudget,
    tracing: Tracing,
) -> AtlasClient:
    """Build the client of one project, with its own key; `bucket` is fed with what it is told."""

    def observe(answered: CallRecord) -> None:
        metrics.atlas_answered(answered.method, answered.status, answered.seconds)
        tracing.answered(answered)
        if BACKUPS in answered.path and answered.status and not answered.challenge:
            bucket.seen(answered.rate_limit_remaining, answered.rate_limit)

    return AtlasClient(
        project.credentials,
        base_url=settings.atlas.base_url,
        version=settings.atlas.version,
        envelope=settings.atlas.envelope,
        observe=observe,
    )


async def load_project_names(domain: CoreServices) -> None:
    """Read each project once: a wrong key is in the log before somebody needs it."""
    await asyncio.gather(*(_meet(domain, project) for project in domain.projects.all))


async def _meet(domain: CoreServices, project: Project) -> None:
    """Take the name that Atlas has, where the settings give none; until then the id stands."""
    while True:
        try:
            found = await domain.clients[project.id].project(project.id)
        except AtlasRejected as error:
            log.warning(UNREADABLE, project=project.name, why=str(error))
            return
        except AtlasError as error:
            log.warning(UNREADABLE, project=project.name, why=str(error))
            await asyncio.sleep(NAME_PAUSE)
        else:
            if project.name == project.id:
                domain.projects.rename(project.id, found.name)
            return
