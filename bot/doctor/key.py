"""Judges what Atlas returns about a key: roles, access list, end and rate limit (pure)."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from ipaddress import ip_network

from bot.atlas import CallRecord, KeyAccess
from bot.atlas.key_access import CANCEL_ROLES, OTHER_ROLES
from bot.doctor.results import CheckResult

RECOVERY_OPERATOR = "GROUP_BACKUP_RECOVERY_OPERATOR"
MANAGER = "GROUP_BACKUP_MANAGER"
#: The roles that the bot needs, one of the first two; the others are part of each project role.
NEEDED = frozenset({RECOVERY_OPERATOR, MANAGER, "GROUP_READ_ONLY", "ORG_MEMBER"})

#: What the most powerful roles allow besides.
RISKS = {
    "ORG_OWNER": "owns every project of the organization",
    "GROUP_OWNER": "may do everything in the project",
    "GROUP_BACKUP_EXPORT_OPERATOR": "may download and export backups",
    "GROUP_ACCESS_MANAGER": "may give itself more roles",
}

WHERE = "in Atlas, under Project Identity & Access"
IN_ORGANIZATION = "in Atlas, under Organization Access Manager"
TRY_SMALLER = f"{RECOVERY_OPERATOR} alone may be enough: doctor shows whether it reads the jobs"
VERIFY = f"Only a cancellation can test it. Verify that the key has {RECOVERY_OPERATOR}, {WHERE}."
GRANT = f"Give it {RECOVERY_OPERATOR} (Project Backup Recovery Operator), {WHERE}"
SET_ADDRESS = "Edit the key in Atlas, API Access List: add the bot's address, and no other."
MIN_SECRET_DAYS = 14  #: days before the end of a service account's secret that cause a warning
BACKUPS = "/backup/"  #: the part of the path of calls that share a rate limit
MIN_RATE_LIMIT_SHARE = 5  #: a warning is reported when less than one in so many calls is left
SHARED = "Wait a few minutes; other programs that read the project's backups share the limit."
READ_EXPIRY = "Atlas shows it in Project Identity & Access, Applications."
RENEW = "Create a second secret there, replace the bot's, and restart it; then delete the old one."


def check_roles(subject: CheckResult, access: KeyAccess, unread: str) -> CheckResult:
    """Check that a key has no role that the bot does not need; `unread` is why none was read."""
    if not access.roles:
        return subject.unchecked(unread)
    more = sorted(access.roles - NEEDED)
    if not more:
        smaller = f" ({TRY_SMALLER})" if RECOVERY_OPERATOR not in access.roles else ""
        names = ", ".join(sorted(access.roles))
        return subject.ok(f"{names}: no more than the bot needs{smaller}")
    named = ", ".join(f"{role} ({RISKS[role]})" if role in RISKS else role for role in more)
    keeps = access.roles & NEEDED & CANCEL_ROLES
    fix = "Remove it" if keeps else f"Replace it by {RECOVERY_OPERATOR} in the project"
    where = IN_ORGANIZATION if any(role.startswith("ORG_") for role in more) else WHERE
    return subject.warning(f"more than the bot needs: {named}", f"{fix}, {where}.")


def check_cancel_role(
    subject: CheckResult, access: KeyAccess, unread: str, *, read_only: bool
) -> CheckResult:
    """Check that a role of the key allows what the settings ask for."""
    roles = access.roles or frozenset()
    if read_only:
        return subject.ok("not used: the bot only watches (BOT_READ_ONLY)")
    if access.may_cancel:
        return subject.ok(f"{', '.join(sorted(roles & CANCEL_ROLES))} allows it")
    if access.may_cancel is None:
        unknown = ", ".join(sorted(roles - OTHER_ROLES))
        return subject.unchecked(
            f"this program does not know what {unknown} allows" if unknown else unread, VERIFY
        )
    return subject.problem(
        f"no role of the key allows it ({', '.join(sorted(roles))})",
        f"{GRANT}, or set BOT_READ_ONLY=true: until then the bot only watches.",
    )


def role_to_read_jobs(access: KeyAccess) -> str:
    """Return the fix for a key that may not read restore jobs, on which the documents differ."""
    if RECOVERY_OPERATOR in (access.roles or ()):
        return f"{RECOVERY_OPERATOR} does not suffice here: give it {MANAGER}, {WHERE}."
    return f"{GRANT}; if that does not suffice, {MANAGER}."


def check_access_list(
    subject: CheckResult, addresses: Sequence[str] | None, unread: str
) -> CheckResult:
    """Check that the list, which admits this machine, does not admit every address."""
    admitted = "Atlas accepts calls from this address"
    if addresses is None:
        return subject.ok(f"{admitted}; the list itself was not read: {unread}")
    if not addresses:
        return subject.warning("it is empty: the key works from every address", SET_ADDRESS)
    if wide := [each for each in addresses if _admits_all(each)]:
        return subject.warning(f"it admits every address ({', '.join(wide)})", SET_ADDRESS)
    return subject.ok(f"{admitted}, and from no others than {', '.join(addresses)}")


def _admits_all(address: str) -> bool:
    try:
        return ip_network(address, strict=False).prefixlen == 0
    except ValueError:
        return False


def check_expiry(
    subject: CheckResult, access: KeyAccess, unread: str, now: datetime
) -> CheckResult:
    if (expires_at := access.secret_expires_at) is None:
        return subject.unchecked(unread, READ_EXPIRY)
    left = (expires_at - now).days
    message = f"it expires {expires_at:%Y-%m-%d}, in {left} day{'s' * (left != 1)}"
    if left < MIN_SECRET_DAYS:
        return subject.warning(message, RENEW)
    return subject.ok(message)


def check_rate_limit(subject: CheckResult, calls: Iterable[CallRecord]) -> CheckResult:
    """Check what is left of the limit of all backup calls of a project; the newest call decides."""
    backups = (call for call in calls if BACKUPS in call.path and call.status)
    call = next((call for call in backups if not call.challenge), None)
    left, limit = (call.rate_limit_remaining, call.rate_limit) if call else (None, None)
    if left is None or limit is None:
        return subject.unchecked("Atlas's response does not contain it")
    message = f"{left} of {limit} calls are left"
    if left * MIN_RATE_LIMIT_SHARE < limit:
        return subject.warning(message, SHARED)
    return subject.ok(message)
