"""What Atlas says about the bot's own key or service account: its roles and its access list."""

from dataclasses import dataclass
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

#: The roles that may not; any other role is not known, and may be newer than this program.
OTHER_ROLES = frozenset(
    {
        *("ORG_MEMBER", "ORG_READ_ONLY", "ORG_GROUP_CREATOR"),
        *("ORG_BILLING_ADMIN", "ORG_BILLING_READ_ONLY"),
        *("GROUP_READ_ONLY", "GROUP_OBSERVABILITY_VIEWER", "GROUP_CLUSTER_LOG_VIEWER"),
        *("GROUP_BACKUP_CREATOR", "GROUP_CLUSTER_CREATOR", "GROUP_CLUSTER_MANAGER"),
        *("GROUP_CLUSTER_RESILIENCE_TESTER", "GROUP_REPLICA_SET_MANAGER", "GROUP_MODEL_OWNER"),
        *("GROUP_ACCESS_MANAGER", "GROUP_NETWORK_ACCESS_MANAGER", "GROUP_SUPPORT_ACCESS_MANAGER"),
        *("GROUP_ALERTS_MANAGER", "GROUP_TRIGGER_MANAGER", "GROUP_INDEX_MANAGER"),
        *("GROUP_SEARCH_INDEX_EDITOR", "GROUP_REAL_TIME_PERFORMANCE_OPERATOR"),
        *("GROUP_DATA_ACCESS_ADMIN", "GROUP_DATA_ACCESS_READ_WRITE", "GROUP_DATA_ACCESS_READ_ONLY"),
        *("GROUP_DATABASE_ACCESS_ADMIN", "GROUP_STREAM_PROCESSING_OWNER"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAccess:
    """What a key or service account may do in one project; None is not known."""

    key_id: str  #: the public key, or the client id of the service account
    roles: frozenset[str] | None = None  #: in the project; of a key also those in the organization
    addresses: tuple[str, ...] | None = None  #: the entries of its access list

    @property
    def may_cancel(self) -> bool | None:
        """Whether one of the roles may cancel; None where that is not known."""
        if self.roles and self.roles & CANCEL_ROLES:
            return True
        return False if self.roles and self.roles <= OTHER_ROLES else None


class AccessListEntry(AtlasModel):
    cidr_block: str | None = None
    ip_address: str | None = None

    @property
    def address(self) -> str:
        return self.cidr_block or self.ip_address or ""


class _KeyRole(AtlasModel):
    """A role of an API key, in a project or in the organization."""

    role_name: str
    group_id: str | None = None


class SystemStatus(AtlasModel):
    """The root resource, which describes the key that asks for it."""

    roles: tuple[_KeyRole, ...] | None = Field(None, validation_alias=AliasPath("apiKey", "roles"))
    access_list: tuple[AccessListEntry, ...] | None = Field(
        None, validation_alias=AliasPath("apiKey", "accessList")
    )

    def access_of(self, key_id: str, project_id: str) -> KeyAccess:
        roles = [r.role_name for r in self.roles or () if r.group_id in {None, project_id}]
        addresses = tuple(entry.address for entry in self.access_list or ())
        return KeyAccess(
            key_id=key_id,
            roles=None if self.roles is None else frozenset(roles),
            addresses=None if self.access_list is None else addresses,
        )


def _texts(value: object) -> object:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else None


class ServiceAccountDetails(AtlasModel):
    """A service account in one project."""

    roles: Annotated[tuple[str, ...] | None, BeforeValidator(_texts)] = None
