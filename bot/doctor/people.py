"""Checks the channels, people, user groups and approvers that the settings name."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, starmap
from typing import Any, TypeAlias

from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import NO_ONE, Kind
from bot.cancellation.policy import Policy
from bot.cancellation.posts import MAX_RECIPIENTS, possible_approvers
from bot.doctor.results import CheckResult, within
from bot.settings import Settings
from bot.slack.channels import ABSENT, is_direct, read_channel
from bot.slack.directory import Directory
from bot.slack.errors import REASONS, UNKNOWN_GROUP, UNKNOWN_USER, SlackError
from bot.slack.payloads import kind_of

MAX_CONCURRENT_CALLS = 5  #: Slack limits calls by the minute
IDS_TIMEOUT = 30.0  #: seconds for all channels, people and groups together
INVITE = "Type /invite in the channel, and choose the bot."
TAKE_OUT = "Remove the id from the settings."
MORE = "Name more people or a larger group, or require fewer approvals (BOT_APPROVALS)."
TURN_ON = "Set BOT_NOTIFY_APPROVERS to true: now approvers have to find the card in the channel."
NAME_APPROVERS = "Name people or a user group (BOT_APPROVERS): who may approve by * gets none."
FEWER = "Name the people who should get it first, or a smaller group (BOT_APPROVERS)."
NO_GROUPS = "plan_upgrade_required"

#: Error codes that mean a wrong id, with message and hint.
UNKNOWN: Mapping[frozenset[str], tuple[str, str]] = {
    ABSENT: (
        "the channel does not exist, or it is private and the bot is not a member",
        "Check the id (at the end of the channel's details); if it is private, /invite the bot.",
    ),
    UNKNOWN_USER: (
        "no person of the workspace has this id",
        "Check the id: in the person's profile, under the three dots, Copy member ID.",
    ),
    UNKNOWN_GROUP: (
        "the user group does not exist, or it is disabled",
        "Check the id: in Slack under People & user groups, Copy group ID.",
    ),
    frozenset({NO_GROUPS}): (REASONS[NO_GROUPS], "Name people by their own ids instead."),
}

#: Kinds of people who have rights only because they are named.
UNUSUAL = {
    Kind.GUEST: "a guest who has this right only because the id is named",
    Kind.COLLEAGUE: "of another workspace of the organization, where * does not cover them",
    Kind.OUTSIDER: "of another organization, and has this right only because the id is named",
}
#: Kinds of people who cannot approve.
UNABLE = {Kind.BOT: "an app, which cannot approve", Kind.DEACTIVATED: "deactivated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedId:
    check: str  #: `channel`, `user` or `group`
    id: str
    settings: tuple[str, ...]  #: the names of the settings that contain it
    needed: bool = True  #: False for a channel of the command whose cards go to another channel

    @property
    def subject(self) -> CheckResult:
        return CheckResult(self.check, f"{', '.join(self.settings)}: {self.id}", "Slack")


@dataclass(frozen=True, slots=True)
class PolicyPart:
    """The policy of a project, or of some of its clusters, and the name of it in the settings."""

    name: str | None  #: None: the policy of the variables
    policy: Policy
    project: Policy | None = None  #: of clusters: the policy of their project

    def inherits(self, rule: str) -> bool:
        """Whether the same rule of the project is checked already."""
        return self.project is not None and bool(
            getattr(self.project, rule) == getattr(self.policy, rule)
        )

    def setting(self, rule: str) -> str:
        """Return the variable of a rule, or its key in the projects file."""
        return f"BOT_{rule.upper()}" if self.name is None else f"{self.name}, {rule}"


def parts_of(settings: Settings) -> Iterator[PolicyPart]:
    for holder in settings.policy_holders:
        default = holder.policies.default
        for label, policy in holder.parts:
            over = None if policy is default else default
            yield PolicyPart(label if holder.name else None, policy, over)


def named_ids(settings: Settings) -> list[NamedId]:
    """List every channel, person and user group in the settings, each once, in this order."""
    by_id: dict[str, NamedId] = {}
    for found in chain.from_iterable(map(_ids_of, parts_of(settings))):
        before = by_id.get(found.id, found)
        by_id[found.id] = replace(
            found,
            settings=tuple(dict.fromkeys((*before.settings, *found.settings))),
            needed=before.needed or found.needed,
        )
    return sorted(by_id.values(), key=lambda each: [*CHECKS].index(each.check))


def _ids_of(part: PolicyPart) -> Iterator[NamedId]:
    policy = part.policy
    approvers = policy.first_approvers
    people = {
        "requesters": policy.requesters,
        "approvers": NO_ONE if approvers == policy.requesters else approvers,  # the default
        "escalate_to": policy.escalate_to,
        "break_glass": policy.break_glass,
    }
    ids: list[tuple[str, str, Iterable[str]]] = [
        ("channel", "channels", policy.channels),
        *(("channel", rule, [channel]) for rule, channel in policy.post_channels.items()),
        *(("user", rule, named.users) for rule, named in people.items()),
        *(("group", rule, named.groups) for rule, named in people.items()),
    ]
    for check, rule, named in ids:
        if part.inherits(rule):
            continue
        needed = rule != "channels" or policy.audit_channel is None
        name = part.setting(rule)
        for each in sorted(named):
            yield NamedId(check=check, id=each, settings=(name,), needed=needed)


def with_approvals(settings: Settings) -> list[PolicyPart]:
    rules = ("approvals", "approvers", "requesters", "self_approval", "notify_approvers")
    return [
        part
        for part in parts_of(settings)
        if part.policy.approvals > 0 and not all(map(part.inherits, rules))
    ]


#: The subject of a check, and the id or the project that it is about.
PlannedCheck: TypeAlias = tuple[CheckResult, NamedId | PolicyPart]


def planned_checks(settings: Settings) -> list[PlannedCheck]:
    """List the checks of every id, and of every project with approvals."""
    planned: list[PlannedCheck] = [(each.subject, each) for each in named_ids(settings)]
    for part in with_approvals(settings):
        approvals, approvers = map(part.setting, ("approvals", "approvers"))
        planned.append((CheckResult("approvers", f"{approvals}, {approvers}", "Slack"), part))
    return planned


def describe_failure(code: str) -> str:
    return f"Slack answered {code}" if code else "Slack did not answer"


def lookup_failure(subject: CheckResult, code: str) -> CheckResult:
    if code == "missing_scope":
        return subject.unchecked("the scope for this check is missing, see above")
    for codes, (what, hint) in UNKNOWN.items():
        if code in codes:
            return subject.problem(f"{what} ({code})", hint)
    message = f"it cannot be checked: {describe_failure(code)}"
    return subject.problem(message, "Try again in a minute.")


async def _channel(directory: Directory, subject: CheckResult, named: NamedId) -> CheckResult:
    """Check that the bot can post in a channel, and that the channel is internal."""
    if is_direct(named.id):
        return subject.unchecked("it is a direct message, which the bot has no scope to read")
    answer = await directory.client.conversations_info(channel=named.id)
    found: Mapping[str, Any] = answer.get("channel") or {}
    place = read_channel(found, posts_anywhere=directory.identity.posts_anywhere)
    name = f"#{found.get('name') or named.id}"
    if found.get("is_archived"):
        return subject.problem(f"{name} is archived", "Set another channel, or unarchive it.")
    if named.needed and not place.can_post:
        return subject.problem(f"the bot cannot post in {name}: {place.why}", INVITE)
    if place.is_shared:
        hint = "Verify that they may see what is cancelled, and why."
        return subject.warning(f"people of another organization can read {name}", hint)
    posts = "the bot can post there" if place.can_post else "cards go to the audit channel"
    return subject.ok(f"{name}: {posts}")


async def _user(directory: Directory, subject: CheckResult, named: NamedId) -> CheckResult:
    answer = await directory.client.users_info(user=named.id)
    found = answer.get("user") or {}
    kind, name = kind_of(found, directory.identity), f"@{found.get('name') or named.id}"
    if kind in UNABLE:
        return subject.warning(f"{name} is {UNABLE[kind]}", TAKE_OUT)
    if kind in UNUSUAL:
        hint = f"If this is not intended: {TAKE_OUT}"
        return subject.warning(f"{name} is {UNUSUAL[kind]}", hint)
    return subject.ok(f"{name} is a full member")


async def _group(directory: Directory, subject: CheckResult, named: NamedId) -> CheckResult:
    members = await directory.members_of([named.id])
    if not members:
        return subject.warning("it has no members", "Add people to the group, or set another.")
    return subject.ok(f"it has {len(members)} {'member' if len(members) == 1 else 'members'}")


async def _approvers(directory: Directory, subject: CheckResult, part: PolicyPart) -> CheckResult:
    """Count who may approve, and who gets the card of a request directly."""
    policy = part.policy
    if policy.approvers.everyone:
        message = f"{policy.approvals} required; every full member may approve"
        return subject.warning(f"{message}, and gets no direct message", NAME_APPROVERS)
    people = possible_approvers(policy, await directory.candidates(policy.approvers))
    return check_approvers(subject, policy, len(people))


#: The checks by name, in the order of the report.
CHECKS: Mapping[str, Callable[[Directory, CheckResult, Any], Awaitable[CheckResult]]] = {
    "channel": _channel,
    "user": _user,
    "group": _group,
    "approvers": _approvers,
}


async def run_id_checks(directory: Directory, planned: Iterable[PlannedCheck]) -> list[CheckResult]:
    """Run a few checks at a time."""
    slots, now = asyncio.Semaphore(MAX_CONCURRENT_CALLS), asyncio.get_running_loop().time
    deadline = now() + IDS_TIMEOUT

    async def run(subject: CheckResult, what: NamedId | PolicyPart) -> list[CheckResult]:
        async with slots:
            return await within(subject, checked(subject, what), max(0.0, deadline - now()))

    async def checked(subject: CheckResult, what: NamedId | PolicyPart) -> CheckResult:
        try:
            return await CHECKS[subject.check](directory, subject, what)
        except SlackError as error:
            return lookup_failure(subject, error.code)
        except RightsNotChecked as error:
            if isinstance(what, NamedId):
                return lookup_failure(subject, error.code)
            return subject.unchecked(f"the people could not be read: {error.why}")

    return [*chain.from_iterable(await asyncio.gather(*starmap(run, planned)))]


def check_approvers(subject: CheckResult, policy: Policy, able: int) -> CheckResult:
    """Check whether enough people can approve; of large groups not all are counted."""
    required = policy.approvals
    if able < required:
        return subject.problem(f"{required} required, but only {able} can approve", MORE)
    message = f"{required} required, {able} can approve"
    if able == required and not policy.self_approval:
        return subject.warning(f"{message}; too few remain when one of them asks", MORE)
    if not policy.notify_approvers:
        return subject.warning(f"{message}, and get no direct message", TURN_ON)
    if able > MAX_RECIPIENTS:
        message = f"{required} required; of those who can approve"
        return subject.warning(f"{message}, {MAX_RECIPIENTS} get direct messages", FEWER)
    return subject.ok(f"{message}, and get the card of a request directly")
