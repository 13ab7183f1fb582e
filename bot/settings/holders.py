"""Projects and organizations: what has credentials and a policy of its own."""

from pydantic import InstanceOf

from bot.atlas import DigestKey, ServiceAccount
from bot.cancellation.policy import Policy
from bot.settings.base import Model


class PolicyHolder(Model):
    """A part of the settings with credentials and a policy of its own."""

    #: The name that people type; None for the project of `MONGODB_ATLAS_PROJECT_ID`, whose name is
    #: read from Atlas.
    name: str | None
    credentials: InstanceOf[DigestKey] | InstanceOf[ServiceAccount]
    policy: InstanceOf[Policy]
    watch_channel: str | None = None

    @property
    def label(self) -> str:
        """The name in logs and checks."""
        return self.name or "the project"


class ProjectSettings(PolicyHolder):
    """One Atlas project."""

    id: str  #: 24 lower-case hexadecimal digits

    @property
    def label(self) -> str:
        """The name of the settings, or the id where they have none."""
        return self.name or self.id


class OrganizationSettings(PolicyHolder):
    """All projects that the credentials see, by patterns of their names or ids."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def project(self, project_id: str, name: str) -> ProjectSettings:
        """Return the settings of one of its projects."""
        return ProjectSettings(
            name=name,
            id=project_id,
            credentials=self.credentials,
            policy=self.policy,
            watch_channel=self.watch_channel,
        )
