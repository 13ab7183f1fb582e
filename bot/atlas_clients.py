"""The clients of Atlas, one for each key, and the projects that use them."""

import re

from bot.atlas import AtlasClient, CallRecord, Credentials
from bot.services.organizations import Organization
from bot.services.projects import Project, Projects
from bot.settings import OrganizationSettings, ProjectSettings, Settings
from bot.tracing import Tracing
from bot.web.metrics import Metrics

#: All paths that contain this share one rate limit per project.
BACKUP_PATH = "/backup/"
#: The ends of the paths of the activity feed; reads of events have a rate limit of their own.
EVENTS_PATH = "/events"
PROJECT_PATH = re.compile(r"/groups/([0-9a-f]{24})/")
FEED_PATHS = (EVENTS_PATH, "/activityFeed")
FEED_REFUSALS = frozenset({400, 401, 403, 404})


class AtlasClients:
    """The Atlas clients: projects with the same credentials share one, and so its login."""

    def __init__(
        self, settings: Settings, metrics: Metrics, tracing: Tracing, projects: Projects
    ) -> None:
        self._atlas = settings.atlas
        self._metrics = metrics
        self._tracing = tracing
        self._projects = projects
        self._clients: dict[Credentials, AtlasClient] = {}
        self.credentials: dict[str, Credentials] = {}  #: by the id of their project

    def get(self, credentials: Credentials) -> AtlasClient:
        """Return the client of these credentials; it is built at its first use."""
        if credentials not in self._clients:
            self._clients[credentials] = AtlasClient(
                credentials,
                base_url=self._atlas.base_url,
                version=self._atlas.api_version,
                envelope=self._atlas.envelope,
                observe=self._observe,
                on_login_refused=self._metrics.login_refused.inc,
            )
        return self._clients[credentials]

    def project(self, project: ProjectSettings) -> Project:
        """Build a project from its settings."""
        self.credentials[project.id] = project.credentials
        return Project(
            id=project.id,
            name=project.label,
            policy=project.policy,
            atlas=self.get(project.credentials),
            watch_channel=project.watch_channel,
        )

    def organization(self, organization: OrganizationSettings) -> Organization:
        """Build an organization from its settings."""
        return Organization(
            label=organization.label,
            atlas=self.get(organization.credentials),
            include=organization.include,
            exclude=organization.exclude,
            build=lambda project_id, name: self.project(organization.project(project_id, name)),
        )

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    def _observe(self, call: CallRecord) -> None:
        """Update limits, metrics and traces by an answer."""
        # A feed that is refused is no fault: only the starters of jobs are not known then.
        if not (call.path.endswith(FEED_PATHS) and call.status in FEED_REFUSALS):
            self._metrics.observe_atlas_call(call.method, call.status, call.seconds)
        self._tracing.record_atlas_call(call)
        found = PROJECT_PATH.search(call.path)
        project = self._projects.find(found[1]) if found else None
        if project is None or not call.status or call.challenge:
            return
        if call.path.endswith(EVENTS_PATH):
            project.events.update(call.rate_limit_remaining, call.rate_limit)
        if BACKUP_PATH in call.path:
            project.backups.update(call.rate_limit_remaining, call.rate_limit)
