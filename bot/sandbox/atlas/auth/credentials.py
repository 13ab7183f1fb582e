"""API keys and service accounts: roles and access lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address, ip_network


class Role(StrEnum):
    """The relevant project roles, by their names in the API."""

    OWNER = "GROUP_OWNER"
    READ_ONLY = "GROUP_READ_ONLY"
    BACKUP_MANAGER = "GROUP_BACKUP_MANAGER"
    EXPORT_OPERATOR = "GROUP_BACKUP_EXPORT_OPERATOR"
    RECOVERY_OPERATOR = "GROUP_BACKUP_RECOVERY_OPERATOR"


#: Roles that may cancel, and roles that may read restore jobs. The documentation is not clear
#: about the right of a Backup Manager to cancel.
CANCELLERS = frozenset({Role.OWNER, Role.EXPORT_OPERATOR, Role.RECOVERY_OPERATOR})
JOB_READERS = CANCELLERS | {Role.BACKUP_MANAGER}


@dataclass(kw_only=True)
class Credential:
    """An API key (public and private part) or a service account (client id and secret).

    `access_list` holds networks such as `203.0.113.0/24`; None means that the organization does
    not require one; an empty list is required but not filled in. `expires_at` is the end of a
    service account's secret.
    """

    identifier: str
    secret: str = field(repr=False)
    roles: dict[str, set[Role]] = field(default_factory=dict)
    access_list: list[str] | None = None
    expires_at: str = "2099-12-31T00:00:00Z"

    def roles_in(self, group: str) -> set[Role]:
        return self.roles.get(group, set())

    def admits(self, address: str) -> bool:
        """Whether `address` is on the access list, if one is required."""
        if self.access_list is None:
            return True
        return any(ip_address(address) in ip_network(net) for net in self.access_list)
