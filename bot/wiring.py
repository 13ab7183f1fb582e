"""Builds what `serve` and the command line share: Atlas's clients, the projects, the stores."""

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from bot.atlas import (
    AtlasCanceller,
    AtlasGateway,
    AtlasHttp,
    AtlasReader,
    CallLimiter,
    CallRecord,
    Credentials,
)
from bot.cancellation.errors import StorageError
from bot.report import Report
from bot.services.feed import Feed
from bot.services.projects import Project, Projects
from bot.settings import ProjectSettings, Settings
from bot.storage.database import Database, wall_clock
from bot.storage.download_store import DownloadStore
from bot.storage.lease import Lease, lock_lease
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from bot.storage.run_store import RunStore
from bot.web.metrics import Metrics


def new_holder() -> str:
    """Return a name for this process, new at each start, so that an old lease is not its own."""
    return uuid.uuid4().hex[:12]


@dataclass(eq=False)
class AtlasClients:
    """The clients of Atlas: projects with the same credentials share one login."""

    settings: Settings
    metrics: Metrics
    now: Callable[[], datetime] = wall_clock
    limiter: CallLimiter = field(default_factory=CallLimiter)
    _https: dict[Credentials, AtlasHttp] = field(default_factory=dict, init=False)
    _credentials: dict[str, Credentials] = field(default_factory=dict, init=False)
    _gateways: list[AtlasGateway] = field(default_factory=list, init=False)

    def project(self, settings: ProjectSettings) -> Project:
        """Return a project with its gateway."""
        self._credentials[settings.id] = settings.credentials
        reader = AtlasReader(self._http(settings.credentials))
        gateway = AtlasGateway(settings.id, reader, self.limiter, now=self.now)
        self._gateways.append(gateway)
        return Project(
            id=settings.id, name=settings.label, policies=settings.policies, gateway=gateway
        )

    def canceller_of(self, project: Project) -> AtlasCanceller:
        """Return what sends the DELETE of a project's request, for the runner alone."""
        return AtlasCanceller(self._http(self._credentials[project.id]))

    async def close(self) -> None:
        for gateway in self._gateways:
            await gateway.close()
        for http in self._https.values():
            await http.aclose()

    def _http(self, credentials: Credentials) -> AtlasHttp:
        if credentials not in self._https:
            atlas = self.settings.atlas
            self._https[credentials] = AtlasHttp(
                credentials,
                base_url=atlas.base_url,
                version=atlas.api_version,
                envelope=atlas.envelope,
                observe=self._observe,
                on_login_refused=self.metrics.login_refused.inc,
            )
        return self._https[credentials]

    def _observe(self, call: CallRecord) -> None:
        self.metrics.observe_atlas_call(call.method, call.status, call.seconds)


@dataclass(eq=False)
class Core:
    """Everything below Slack."""

    settings: Settings
    metrics: Metrics = field(default_factory=Metrics)
    holder: str = field(default_factory=new_holder)
    now: Callable[[], datetime] = wall_clock

    def __post_init__(self) -> None:
        self.database = Database(self.settings.database_url.get_secret_value())
        self.clients = AtlasClients(self.settings, self.metrics, self.now)
        self.projects = Projects(map(self.clients.project, self.settings.projects))
        self.database.report = Report(self.projects, self.metrics)

    def new_lease(self) -> Lease:
        return Lease(self.database, self.holder)

    def stores(self, lease: Lease | None, on_messages: Callable[[], None]) -> "Stores":
        """Return the stores; without a lease they write beside the active process."""
        return Stores(self, lease, on_messages)

    async def settle(self) -> None:
        """Log the events of commits that got no answer, where they are stored."""
        if self.database.doubtful:
            with suppress(StorageError):
                await self.database.write_in_turn(lock_lease, lambda _db: None)

    async def close(self) -> None:
        """Close all connections to Atlas and the database."""
        await self.clients.close()
        await self.database.close()


class Stores:
    """The stores over one database, and the feeds that write through them."""

    def __init__(self, core: Core, lease: Lease | None, on_messages: Callable[[], None]) -> None:
        over = (core.database, core.now, lease)
        self.requests = RequestStore(*over, on_messages=on_messages)
        self.runs = RunStore(*over, on_messages=on_messages)
        self.downloads = DownloadStore(*over, on_messages=on_messages)
        self.outbox = OutboxStore(*over)
        self._core = core
        self._feeds: dict[str, Feed] = {}

    def feed_of(self, project: Project) -> Feed:
        """Return the one feed of a project."""
        if project.id not in self._feeds:
            self._feeds[project.id] = Feed(project, self.downloads, self._core.now)
        return self._feeds[project.id]

    def feed_is_readable(self, project_id: str) -> bool:
        project = self._core.projects.get_or_none(project_id)
        return project is not None and self.feed_of(project).is_readable
