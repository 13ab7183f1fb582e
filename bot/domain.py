"""Wires the floors below Slack: the clients of Atlas, the ledger, and who runs requests."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from bot.atlas import AtlasClient, AtlasError, AtlasRefused
from bot.cancellation.bucket import Bucket
from bot.cancellation.clock import LedgerClock
from bot.cancellation.desk import Desk
from bot.cancellation.finding import Finder
from bot.cancellation.history import History
from bot.cancellation.leases import Leases
from bot.cancellation.ledger import Ledger
from bot.cancellation.postbox import PostBox
from bot.cancellation.projects import Project, Projects
from bot.cancellation.runner import Runner
from bot.cancellation.sightings import Sightings

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.atlas import Answered
    from bot.cancellation.database import Database
    from bot.cancellation.lifecycle import State
    from bot.settings import ProjectSettings, Settings
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
class Domain:
    """The floors below Slack."""

    clock: LedgerClock
    clients: dict[str, AtlasClient]
    buckets: dict[str, Bucket]
    projects: Projects
    ledger: Ledger
    leases: Leases
    posts: PostBox
    sightings: Sightings
    runner: Runner
    desk: Desk

    def name_of(self, project_id: str) -> str:
        """Return what people call a project: its id until that is known."""
        project = self.projects.find(project_id)
        return project.name if project else project_id


def build_domain(
    settings: Settings,
    database: Database,
    metrics: Metrics,
    owner: str,
    *,
    told: Callable[[], None],
    tracing: Tracing,
) -> Domain:
    """Wire the floors below Slack."""
    buckets = {p.id: Bucket(time.monotonic) for p in settings.projects}
    clients = {
        p.id: build_atlas(settings, p, metrics, buckets[p.id], tracing) for p in settings.projects
    }
    projects = Projects(
        Project(id=p.id, name=p.name or p.id, policy=p.policy, atlas=clients[p.id])
        for p in settings.projects
    )

    def entered(state: State) -> None:
        metrics.state_entered(state.value)

    clock = LedgerClock(database)
    ledger = Ledger(database, clock, entered)
    leases = Leases(database, clock, owner, entered=entered)
    runner = Runner(leases, projects, told=told, trail=tracing.trail)
    return Domain(
        clock=clock,
        clients=clients,
        buckets=buckets,
        projects=projects,
        ledger=ledger,
        leases=leases,
        posts=PostBox(database, clock),
        sightings=Sightings(database, clock, owner),
        runner=runner,
        desk=Desk(
            ledger,
            projects,
            runner,
            finder=Finder(projects, buckets),
            history=History(database, clock),
            now=clock,
            told=told,
        ),
    )


def build_atlas(
    settings: Settings,
    project: ProjectSettings,
    metrics: Metrics,
    bucket: Bucket,
    tracing: Tracing,
) -> AtlasClient:
    """Build the client of one project, with its own key; `bucket` is fed with what it is told."""

    def observe(answered: Answered) -> None:
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


async def meet_projects(domain: Domain) -> None:
    """Read each project once: a wrong key is in the log before somebody needs it."""
    await asyncio.gather(*(_meet(domain, project) for project in domain.projects.all))


async def _meet(domain: Domain, project: Project) -> None:
    """Take the name that Atlas has, where the settings give none; until then the id stands."""
    while True:
        try:
            found = await domain.clients[project.id].project(project.id)
        except AtlasRefused as error:
            log.warning(UNREADABLE, project=project.name, why=str(error))
            return
        except AtlasError as error:
            log.warning(UNREADABLE, project=project.name, why=str(error))
            await asyncio.sleep(NAME_PAUSE)
        else:
            if project.name == project.id:
                domain.projects.rename(project.id, found.name)
            return
