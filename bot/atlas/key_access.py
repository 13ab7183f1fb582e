"""What Atlas says about the bot's own key or service account: roles, access list, secrets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import AliasPath, AwareDatetime, BeforeValidator, Field

from bot.atlas.models import AtlasModel

#: The roles that may cancel a restore job, by their names in the API of 2026.
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

    roles: frozenset[str] | None = None  #: in the project; of a key also those in the organization
    addresses: tuple[str, ...] | None = None  #: the entries of its access list
    secret_expires_at: datetime | None = None  #: of a service account

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

    def access_in(self, project_id: str) -> KeyAccess:
        roles = [r.role_name for r in self.roles or () if r.group_id in {None, project_id}]
        addresses = tuple(entry.address for entry in self.access_list or ())
        return KeyAccess(
            roles=None if self.roles is None else frozenset(roles),
            addresses=None if self.access_list is None else addresses,
        )


class AccountSecret(AtlasModel):
    """One of at most two secrets of a service account."""

    #: The secret with all but its last characters replaced by asterisks, or empty.
    masked: str = Field(default="", alias="maskedSecretValue")
    expires_at: AwareDatetime | None = None  #: when Atlas stops accepting it
    last_used_at: AwareDatetime | None = None


def _texts(value: object) -> object:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else None


class ServiceAccountDetails(AtlasModel):
    """A service account in one project, without what the bot does not need."""

    roles: Annotated[tuple[str, ...] | None, BeforeValidator(_texts)] = None
    secrets: tuple[AccountSecret, ...] = ()

    def access_with(self, secret: str) -> KeyAccess:
        """Return what the account may do; `secret` is the one in use."""
        return KeyAccess(
            roles=None if self.roles is None else frozenset(self.roles),
            secret_expires_at=expiry_of(secret, self.secrets),
        )


def expiry_of(secret: str, secrets: Sequence[AccountSecret]) -> datetime | None:
    """Return when `secret` expires: of those that end like it, the one that was used last.

    Without a match all of them count, because the form of a masked secret is not documented.
    """
    ends = {each: each.masked.rpartition("*")[2] for each in secrets}
    alike = [each for each, end in ends.items() if end and secret.endswith(end)]
    return max(alike or secrets, key=_use, default=AccountSecret()).expires_at


def _use(secret: AccountSecret) -> float:
    return secret.last_used_at.timestamp() if secret.last_used_at else 0.0
