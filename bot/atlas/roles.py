"""The roles of the bot's own key or service account, and those that may cancel."""

from typing import Annotated

from pydantic import AliasPath, BeforeValidator, Field

from bot.atlas.models import AtlasModel

#: The roles that may cancel a restore job, by their names in the API of 2026. Atlas's pages
#: differ on whether the two operators may also read one: only a read shows that.
CANCEL_ROLES = frozenset(
    {
        *("GROUP_BACKUP_RECOVERY_OPERATOR", "GROUP_BACKUP_EXPORT_OPERATOR", "GROUP_BACKUP_MANAGER"),
        *("GROUP_OWNER", "ORG_OWNER"),
    }
)


class _KeyRole(AtlasModel):
    """A role of an API key, in a project or in the organization."""

    role_name: str
    group_id: str | None = None


class SystemStatus(AtlasModel):
    """The root resource, which describes the key that asks for it."""

    roles: tuple[_KeyRole, ...] = Field((), validation_alias=AliasPath("apiKey", "roles"))

    def roles_in(self, project_id: str) -> frozenset[str]:
        """Return the roles of the key in a project, and those in the organization."""
        return frozenset(r.role_name for r in self.roles if r.group_id in {None, project_id})


def _texts(value: object) -> object:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else ()


class ServiceAccountDetails(AtlasModel):
    """A service account in one project."""

    roles: Annotated[frozenset[str], BeforeValidator(_texts)] = frozenset()
