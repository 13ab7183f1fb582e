"""Checks the channels, people, user groups and approvers that the settings name."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.cancellation.people import Kind, People
from bot.cancellation.policy import Policy
from bot.doctor.results import CheckResult, Subject
from bot.settings import PolicyHolder, Settings
from bot.slack.client import Identity
from bot.slack.directory import UNKNOWN_USER, Directory
from bot.slack.errors import CALL_ERRORS, DirectoryError, translate_error
from bot.slack.payloads import kind_of
from bot.slack.placement import ABSENT, is_direct, read_channel

INVITE = "Type /invite in the channel, and choose the bot."
TAKE_OUT = "Remove the id from the settings."
MORE = "Name more people or a larger group, or require fewer approvals (BOT_APPROVALS)."

#: Error codes that mean a wrong id, with message and hint.
UNKNOWN_CHANNELS = dict.fromkeys(
    ABSENT,
    (
        "the channel does not exist, or it is private and the bot is not a member",
        "Check the id (at the end of the channel's details); if it is private, /invite the bot.",
    ),
)
UNKNOWN_USERS = dict.fromkeys(
    UNKNOWN_USER,
    (
        "no person of the workspace has this id",
        "Check the id: in the person's profile, under the three dots, Copy member ID.",
    ),
)
UNKNOWN_GROUPS = dict.fromkeys(
    ("no_such_subteam", "subteam_not_found"),
    (
        "the user group does not exist, or it is disabled",
        "Check the id: in Slack under People & user groups, Copy group ID.",
    ),
)

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
    """An id in the settings."""

    check: str  #: `channel`, `user` or `group`
    id: str
    settings: tuple[str, ...]  #: the names of the settings that contain it
    needed: bool = True  #: False for a channel of the command whose cards go to another channel

    @property
    def subject(self) -> Subject:
        return Subject(self.check, f"{', '.join(self.settings)}: {self.id}")


def setting_name(project: PolicyHolder, rule: str) -> str:
    """Return the variable of a rule, or its key in the projects file."""
    return f"BOT_{rule.upper()}" if project.name is None else f"{project.name}, {rule}"


def channels(settings: Settings) -> list[NamedId]:
    """List every channel in the settings, each once."""
    return _merged(
        NamedId(check="channel", id=channel, settings=(setting_name(project, rule),), needed=needed)
        for project in settings.policy_holders
        for rule, channel, needed in _channels_of(project)
    )


def _channels_of(project: PolicyHolder) -> Iterator[tuple[str, str, bool]]:
    """Yield the rule, the channel, and whether the bot must be able to post there."""
    policy = project.policy
    for channel in sorted(policy.channels):
        yield "channels", channel, policy.audit_channel is None
    others = {"audit_channel": policy.audit_channel, "watch_channel": project.watch_channel}
    yield from ((rule, channel, True) for rule, channel in others.items() if channel)


def users(settings: Settings) -> list[NamedId]:
    """List every person in the settings, each once."""
    return _named_in_rules(settings, "user", lambda people: people.users)


def groups(settings: Settings) -> list[NamedId]:
    """List every user group in the settings, each once."""
    return _named_in_rules(settings, "group", lambda people: people.groups)


def _named_in_rules(
    settings: Settings, check: str, ids_of: Callable[[People], frozenset[str]]
) -> list[NamedId]:
    return _merged(
        NamedId(check=check, id=named, settings=(setting_name(project, rule),))
        for project in settings.policy_holders
        for rule, people in _rules_of_people(project)
        for named in sorted(ids_of(people))
    )


def _rules_of_people(project: PolicyHolder) -> Iterator[tuple[str, People]]:
    policy = project.policy
    yield "requesters", policy.requesters
    if policy.first_approvers != policy.requesters:  # by default they are the same
        yield "approvers", policy.first_approvers
    yield "escalate_to", policy.escalate_to
    yield "break_glass", policy.break_glass


def _merged(found: Iterable[NamedId]) -> list[NamedId]:
    by_id: dict[str, NamedId] = {}
    for each in found:
        kept = by_id.get(each.id)
        before = kept.settings if kept else ()
        by_id[each.id] = replace(
            each,
            settings=tuple(dict.fromkeys((*before, *each.settings))),
            needed=each.needed or bool(kept and kept.needed),
        )
    return list(by_id.values())


def describe_failure(code: str) -> str:
    """Return the failure of a call of Slack, by its error code."""
    return f"Slack answered {code}" if code else "Slack did not answer"


def lookup_failure(
    subject: Subject, code: str, known: Mapping[str, tuple[str, str]]
) -> CheckResult:
    """Return the result of a lookup that failed; `known` has message and hint by error code."""
    if code == "missing_scope":
        return subject.unchecked("the scope for this check is missing, see above")
    if code in known:
        return subject.problem(*known[code])
    return subject.problem(
        f"it cannot be checked: {describe_failure(code)}", "Try again in a minute."
    )


async def check_channel(
    client: AsyncWebClient, identity: Identity, channel: NamedId
) -> CheckResult:
    """Check that the bot can post in a channel, and that the channel is internal."""
    subject = channel.subject
    if is_direct(channel.id):
        return subject.unchecked("it is a direct message, which the bot has no scope to read")
    try:
        answer = await client.conversations_info(channel=channel.id)
    except CALL_ERRORS as error:
        return lookup_failure(subject, translate_error(error).code, UNKNOWN_CHANNELS)
    found: Mapping[str, Any] = answer.get("channel") or {}
    place = read_channel(found, posts_anywhere=identity.posts_anywhere)
    name = f"#{found.get('name') or channel.id}"
    if found.get("is_archived"):
        return subject.problem(f"{name} is archived", "Set another channel, or unarchive it.")
    if channel.needed and not place.can_post:
        return subject.problem(f"the bot cannot post in {name}: {place.why}", INVITE)
    if place.is_shared:
        hint = "Verify that they may see what is cancelled, and why."
        return subject.warning(f"people of another organization can read {name}", hint)
    posts = "the bot can post there" if place.can_post else "cards go to the audit channel"
    return subject.ok(f"{name}: {posts}")


def approvers_subject(project: PolicyHolder) -> Subject:
    return Subject(
        "approvers", f"{setting_name(project, 'approvals')}, {setting_name(project, 'approvers')}"
    )


async def check_user(
    client: AsyncWebClient, identity: Identity, user: NamedId, kinds: dict[str, Kind]
) -> CheckResult:
    """Check one person, and add the kind of account to `kinds`."""
    subject = user.subject
    try:
        answer = await client.users_info(user=user.id)
    except CALL_ERRORS as error:
        code = translate_error(error).code
        if code in UNKNOWN_USER:
            kinds[user.id] = Kind.DEACTIVATED  # not an approver
        return lookup_failure(subject, code, UNKNOWN_USERS)
    found = answer.get("user") or {}
    kind = kinds[user.id] = kind_of(found, identity)
    name = f"@{found.get('name') or user.id}"
    if kind in UNABLE:
        return subject.warning(f"{name} is {UNABLE[kind]}", TAKE_OUT)
    if kind in UNUSUAL:
        return subject.warning(f"{name} is {UNUSUAL[kind]}", f"If this is not intended: {TAKE_OUT}")
    return subject.ok(f"{name} is a full member")


async def check_group(directory: Directory, group: NamedId) -> CheckResult:
    """Check that a user group exists and has members."""
    subject = group.subject
    try:
        members = await directory.members_of([group.id])
    except DirectoryError as error:
        no_groups = (error.why, "Name people by their own ids instead.")
        known = {**UNKNOWN_GROUPS, "plan_upgrade_required": no_groups}
        return lookup_failure(subject, error.code, known)
    if not members:
        return subject.warning("it has no members", "Add people to the group, or set another.")
    return subject.ok(f"it has {len(members)} {'member' if len(members) == 1 else 'members'}")


async def check_approvers_of(
    directory: Directory, project: PolicyHolder, kinds: Mapping[str, Kind]
) -> CheckResult:
    """Check whether requests of a project can be approved, given the kinds of the people named."""
    policy, subject = project.policy, approvers_subject(project)
    if policy.approvers.everyone:
        return subject.ok(f"{policy.approvals} required; every full member may approve")
    if policy.approvers.users - kinds.keys():
        return subject.unchecked("a lookup of one of the people failed, see above")
    try:
        able = _able(policy.approvers, kinds)
        able |= await directory.full_members_of(policy.approvers.groups, policy.approvals + 1)
        requesters = await _requesters(directory, policy.requesters)
    except DirectoryError as error:
        return subject.unchecked(f"the groups could not be read: {error.why}")
    return check_approvers(subject, policy, able, requesters)


def _able(people: People, kinds: Mapping[str, Kind]) -> frozenset[str]:
    return frozenset(user for user in people.users if kinds[user] not in UNABLE)


async def _requesters(directory: Directory, requesters: People) -> frozenset[str] | None:
    if requesters.everyone:
        return None
    return requesters.users | await directory.members_of(requesters.groups)


def check_approvers(
    subject: Subject, policy: Policy, able: frozenset[str], requesters: frozenset[str] | None
) -> CheckResult:
    """Check whether enough people can approve.

    Args:
        subject: the subject of the result.
        policy: the policy of the project.
        able: the people who can approve; of large groups at least one more than required.
        requesters: the people who may ask; None for every full member.
    """
    required = policy.approvals
    message = f"{required} required, {len(able)} can approve"
    if len(able) < required:
        return subject.problem(f"{required} required, but only {len(able)} can approve", MORE)
    if len(able) > required:
        return subject.ok(f"{required} required, enough can approve")
    if policy.self_approval:
        return subject.ok(message)
    if requesters is not None and requesters <= able:
        return subject.problem(f"{message}, and requesters cannot approve their own request", MORE)
    if requesters is None or requesters & able:
        return subject.warning(f"{message}; too few remain when one of them asks", MORE)
    return subject.ok(message)
