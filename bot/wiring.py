"""Builds the Atlas clients, the stores and the services from the settings."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import structlog

from bot.atlas import AtlasCanceller, AtlasError, AtlasHttp, AtlasReader, CallRecord, Credentials
from bot.services.job_search import JobFinder
from bot.services.jobs import ActivityFeeds, Jobs
from bot.services.projects import Organization, Organizations, Project, Projects
from bot.services.rate_limit import CallPacer
from bot.services.rights import ResolvePeople, RightsCheck
from bot.services.runner import Runner
from bot.services.service import CancellationService
from bot.settings import AtlasSettings, OrganizationSettings, ProjectSettings, Settings
from bot.slack.errors import CallLimits
from bot.storage.database import Database, DatabaseClock
from bot.storage.history import History
from bot.storage.job_store import JobStore
from bot.storage.lease_store import LeaseStore
from bot.storage.replicas import CallBudget, ConnectionStore
from bot.storage.request_store import RequestStore
from bot.tasks import repeat
from bot.timings import DEFAULT_TIMINGS, Timings
from bot.web.metrics import Metrics

#: Takes the number of connections that a process holds, returns that of the others.
Report: TypeAlias = Callable[[int], Awaitable[int]]
KEY_ACCESS_INTERVAL = 300.0  #: seconds between two reads of what a key may do
#: These paths share one rate limit per project.
BACKUP_PATH = re.compile(r"/groups/([0-9a-f]{24})/.*/backup/")
#: The end of the path of the activity feed.
EVENTS_PATH = "/events"
FEED_REFUSALS = frozenset({400, 401, 403, 404})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AtlasClients:
    """Readers and cancellers: projects with the same credentials share both, and so a login."""

    settings: AtlasSettings
    metrics: Metrics
    projects: Projects
    _clients: dict[Credentials, tuple[AtlasHttp, AtlasReader]] = field(default_factory=dict)

    def reader(self, credentials: Credentials) -> AtlasReader:
        """Return the reader of these credentials; it is built at its first use."""
        if credentials not in self._clients:
            http = AtlasHttp(
                credentials,
                base_url=self.settings.base_url,
                version=self.settings.api_version,
                envelope=self.settings.envelope,
                observe=self._observe,
                on_login_refused=self.metrics.login_refused.inc,
            )
            self._clients[credentials] = http, AtlasReader(http)
        return self._clients[credentials][1]

    def canceller_of(self, project: Project) -> AtlasCanceller:
        """Return what sends the DELETE of a project's request, for the runner alone."""
        return AtlasCanceller(self._clients[project.atlas.credentials][0])

    def project(self, project: ProjectSettings) -> Project:
        return Project(
            id=project.id,
            name=project.label,
            policies=project.policies,
            atlas=self.reader(project.credentials),
        )

    def organization(self, organization: OrganizationSettings) -> Organization:
        return Organization(
            label=organization.label,
            atlas=self.reader(organization.credentials),
            include=organization.include,
            exclude=organization.exclude,
            build=lambda project_id, name: replace(
                self.project(organization.project(project_id, name)), atlas_name=name
            ),
        )

    async def close(self) -> None:
        for http, _ in self._clients.values():
            await http.aclose()

    def _observe(self, call: CallRecord) -> None:
        """Update limits and metrics by an answer."""
        # A feed that is refused is no fault: only the starters of jobs are not known then.
        if not (call.path.endswith(EVENTS_PATH) and call.status in FEED_REFUSALS):
            self.metrics.observe_atlas_call(call.method, call.status, call.seconds)
        found = BACKUP_PATH.search(call.path)
        project = self.projects.get_or_none(found[1]) if found else None
        if project and call.status and not call.challenge:
            project.backups.update(call.rate_limit_remaining, call.rate_limit)


@dataclass(eq=False)
class CoreServices:
    """Everything below Slack: Atlas clients, stores, the runner and the cancellation service.

    This process holds leases under the name `owner`. `resolve` reads people from Slack for the
    check before each DELETE, and is None without Slack.
    """

    settings: Settings
    metrics: Metrics
    owner: str
    resolve: ResolvePeople | None = None
    timings: Timings = DEFAULT_TIMINGS

    def __post_init__(self) -> None:
        url = self.settings.database_url.get_secret_value()
        self.database = Database(url, timeout=self.timings.transaction_timeout)
        self.clock = DatabaseClock(self.database)
        self.projects = Projects()
        self.clients = AtlasClients(self.settings.atlas, self.metrics, self.projects)
        for project in self.settings.projects:
            self.projects.add(self.clients.project(project))
        self.organizations = Organizations(self.projects, self.timings.organization_interval)
        self.apply(self.settings)
        self.pacer = CallPacer(self.timings.watch_call_interval)
        self._build_stores()
        self._build_services()

    def _build_stores(self) -> None:
        database, clock = self.database, self.clock
        database.on_event = self.metrics.count_event
        self.requests = RequestStore(database, clock)
        lease = self.timings.request_lease
        self.leases = LeaseStore(database, clock, self.owner, lease=lease)
        self.limits = CallLimits(shared=CallBudget(database, clock))
        self._connections = ConnectionStore(database, clock, self.owner)

    def _build_services(self) -> None:
        database, clock, projects = self.database, self.clock, self.projects
        self.jobs = Jobs(
            projects,
            JobStore(database, clock),
            ActivityFeeds(projects, clock),
            interval=self.timings.job_facts_interval,
        )
        rights = RightsCheck(projects, self.resolve, self.jobs.starter_of)
        self.runner = Runner(
            self.leases,
            projects,
            rights,
            self.clients.canceller_of,
            timings=self.timings,
        )
        self.finder = JobFinder()
        self.history = History(database, clock)
        self.cancellation = CancellationService(
            self.requests,
            projects,
            self.runner,
            rights,
            jobs=self.jobs,
        )

    def apply(self, settings: Settings) -> None:
        """Apply the names and policies of settings with the same projects."""
        for project in settings.projects:
            name = {"name": project.name} if project.name else {}
            self.projects.update(project.id, policies=project.policies, **name)
        self.organizations.set(map(self.clients.organization, settings.organizations))

    async def count(self) -> None:
        """Update the metrics of open requests until cancelled."""

        async def update() -> None:
            self.metrics.set_open(*await self.history.counts())

        await repeat(update, self.timings.sweep_interval, "requests not counted")

    async def close(self) -> None:
        """Cancel the reads in flight, and close all connections to Atlas and the database."""
        await self.jobs.feeds.close()
        await self.finder.close()
        await self.clients.close()
        await self.database.close()

    async def share_connections(self, share: Callable[[Report], Awaitable[None]]) -> None:
        """Call `share` with what stores the own connections and returns those of other replicas."""
        if not self.database.is_sqlite:  # it has one replica
            work = partial(share, self._connections.report)
            await repeat(work, self.timings.connection_count_interval, "connections not counted")

    async def follow_key(self, project: Project) -> None:
        """Read what the key of a project may do, until cancelled."""

        async def read() -> None:
            await self.pacer.wait()
            try:
                access = await project.atlas.key_access(project.id)
            except AtlasError as error:
                log.info("what the key may do is not known", project=project.id, why=str(error))
                return
            if access.secret_expires_at:
                expires, name = access.secret_expires_at, self.projects.get(project.id).name
                self.metrics.secret_expires.labels(project=name).set(expires.timestamp())
            self.projects.update(project.id, key_may_cancel=access.may_cancel)

        await repeat(read, KEY_ACCESS_INTERVAL, "key not read")

    async def check_database(self) -> str | None:
        """Return a sentence for `/readyz` unless the database can be written."""
        problem = await self.database.check_writable()
        return problem and f"The database cannot be written ({problem}): check DATABASE_URL."
