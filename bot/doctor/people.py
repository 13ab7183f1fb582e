"""Checks of the channels, people and user groups that the settings name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.cancellation.people import Kind, People
from bot.cancellation.policy import Policy
from bot.doctor.results import CheckResult, Subject
from bot.settings import ProjectSettings, Settings
from bot.slack.client import Identity
from bot.slack.directory import UNKNOWN_USER, Directory, kind_of
from bot.slack.errors import CALL_ERRORS, DirectoryError, translate_error
from bot.slack.placement import ABSENT, is_direct, read_channel

INVITE = "Type /invite in the channel, and choose the bot."
CHECK_ID = "Check the id (at the end of the channel's details); if it is private, /invite the bot."


CHECK_USER = "Check the id: in the person's profile, under the three dots, Copy member ID."
CHECK_GROUP = "Check the id: in Slack under People & user groups, Copy group ID."
TAKE_OUT = "Take the id out of the settings."
MORE = "Name more people, or a group with more, or ask for fewer approvals (BOT_APPROVALS)."

#: Kinds of people who have rights only because they are named.
UNUSUAL = {
    Kind.GUEST: "a guest, who has this right only because the id is named",
    Kind.OUTSIDER: "of another organization, and has this right only because the id is named",
}
#: Kinds of people who cannot approve.
UNABLE = {Kind.BOT: "an app, which clicks no button", Kind.DEACTIVATED: "deactivated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedId:
    """An id in the settings.

    Attributes:
        id: of a channel, a user or a user group.
        settings: the names of the settings that contain it.
        needed: whether the bot must be able to use it as the settings want; False for a channel
            in which the command works, but whose cards go elsewhere.
    """

    id: str
    settings: tuple[str, ...]
    needed: bool = True

    @property
    def label(self) -> str:
        return f"{', '.join(self.settings)}: {self.id}"


def called(project: ProjectSettings, rule: str) -> str:
    """Name a rule as it is set: by its variable, or by its key in the projects file."""
    return f"BOT_{rule.upper()}" if project.name is None else f"{project.name}, {rule}"


def channels(settings: Settings) -> list[NamedId]:
    """List every channel that is named, each once."""
    return _merged(use for project in settings.projects for use in _channels_of(project))


def _channels_of(project: ProjectSettings) -> Iterator[NamedId]:
    policy = project.policy
    for channel in sorted(policy.channels):
        needed = policy.audit_channel is None
        yield NamedId(id=channel, settings=(called(project, "channels"),), needed=needed)
    if policy.audit_channel:
        yield NamedId(id=policy.audit_channel, settings=(called(project, "audit_channel"),))
    if project.watch_channel:
        yield NamedId(id=project.watch_channel, settings=(called(project, "watch_channel"),))


def users(settings: Settings) -> list[NamedId]:
    """List every person who is named, each once."""
    return _merged(
        NamedId(id=user, settings=(called(project, rule),))
        for project in settings.projects
        for rule, people in _rules_of_people(project)
        for user in sorted(people.users)
    )


def groups(settings: Settings) -> list[NamedId]:
    """List every user group that is named, each once."""
    return _merged(
        NamedId(id=group, settings=(called(project, rule),))
        for project in settings.projects
        for rule, people in _rules_of_people(project)
        for group in sorted(people.groups)
    )


def _rules_of_people(project: ProjectSettings) -> Iterator[tuple[str, People]]:
    policy = project.policy
    yield "requesters", policy.requesters
    if policy.approvers != policy.requesters:  # by default they are the same
        yield "approvers", policy.approvers


def _merged(found: Iterable[NamedId]) -> list[NamedId]:
    by_id: dict[str, NamedId] = {}
    for each in found:
        kept = by_id.get(each.id)
        before = kept.settings if kept else ()
        by_id[each.id] = NamedId(
            id=each.id,
            settings=tuple(dict.fromkeys((*before, *each.settings))),
            needed=each.needed or bool(kept and kept.needed),
        )
    return list(by_id.values())


def call_failure(error: BaseException) -> str:
    """Return the failure of a call of Slack in a few words."""
    code = translate_error(error).code
    return f"Slack answered {code}" if code else "Slack did not answer"


def channel_subject(channel: NamedId) -> Subject:
    return Subject("channel", channel.label)


async def check_channel(
    client: AsyncWebClient, identity: Identity, channel: NamedId
) -> CheckResult:
    """Ask Slack about one channel."""
    subject = channel_subject(channel)
    if is_direct(channel.id):
        return subject.unchecked("it is a direct message, into which the bot has no scope to look")
    try:
        answer = await client.conversations_info(channel=channel.id)
    except CALL_ERRORS as error:
        return _unreadable_channel(subject, error)
    found: Mapping[str, Any] = answer.get("channel") or {}
    place = read_channel(found, posts_anywhere=identity.posts_anywhere)
    name = f"#{found.get('name') or channel.id}"
    if found.get("is_archived"):
        return subject.problem(f"{name} is archived", "Name another channel, or unarchive it.")
    if channel.needed and not place.can_post:
        return subject.problem(f"the bot cannot post in {name}: {place.why}", INVITE)
    if place.is_shared:
        hint = "Make sure that they may see what is cancelled, and why."
        return subject.warning(f"people of another organization read along in {name}", hint)
    posts = "the bot can post there" if place.can_post else "cards go to the audit channel"
    return subject.ok(f"{name}: {posts}")


def _unreadable_channel(subject: Subject, error: BaseException) -> CheckResult:
    code = translate_error(error).code
    if code == "missing_scope":
        return subject.unchecked("the scope to check is missing, see above")
    if code in ABSENT:
        return subject.problem(
            "Slack knows no such channel, or it is private and the bot is not in it", CHECK_ID
        )
    return subject.problem(
        f"it cannot be check up: {call_failure(error)}", "Try again in a minute."
    )


def user_subject(user: NamedId) -> Subject:
    return Subject("user", user.label)


def group_subject(group: NamedId) -> Subject:
    return Subject("group", group.label)


def approvers_subject(project: ProjectSettings) -> Subject:
    return Subject("approvers", f"{called(project, 'approvals')}, {called(project, 'approvers')}")


async def check_user(
    client: AsyncWebClient, identity: Identity, user: NamedId, kinds: dict[str, Kind]
) -> CheckResult:
    """Ask Slack about one person, whose kind goes to `kinds`."""
    subject = user_subject(user)
    try:
        answer = await client.users_info(user=user.id)
    except CALL_ERRORS as error:
        if translate_error(error).code in UNKNOWN_USER:
            kinds[user.id] = Kind.DEACTIVATED  # not an approver
        return _unreadable_user(subject, error)
    found = answer.get("user") or {}
    kind = kinds[user.id] = kind_of(found, identity)
    name = f"@{found.get('name') or user.id}"
    if kind in UNABLE:
        return subject.warning(f"{name} is {UNABLE[kind]}", TAKE_OUT)
    if kind in UNUSUAL:
        return subject.warning(f"{name} is {UNUSUAL[kind]}", f"If that is not meant: {TAKE_OUT}")
    return subject.ok(f"{name} is a full member")


def _unreadable_user(subject: Subject, error: BaseException) -> CheckResult:
    code = translate_error(error).code
    if code == "missing_scope":
        return subject.unchecked("the scope to check is missing, see above")
    if code in UNKNOWN_USER:
        return subject.problem("Slack knows no person with this id", CHECK_USER)
    return subject.problem(
        f"it cannot be check up: {call_failure(error)}", "Try again in a minute."
    )


async def check_group(directory: Directory, group: NamedId) -> CheckResult:
    """Ask Slack who is in one user group."""
    subject = group_subject(group)
    try:
        members = await directory.members_of([group.id])
    except DirectoryError as error:
        return _unreadable_group(subject, error)
    if not members:
        return subject.warning("it has no members", "Add people to the group, or name another.")
    return subject.ok(f"{len(members)} in it")


def _unreadable_group(subject: Subject, error: DirectoryError) -> CheckResult:
    match error.code:
        case "missing_scope":
            return subject.unchecked("the scope to check is missing, see above")
        case "no_such_subteam" | "subteam_not_found":
            return subject.problem("Slack knows no such user group, or it is disabled", CHECK_GROUP)
        case "plan_upgrade_required":
            return subject.problem(error.why, "Name people by their own ids instead.")
    return subject.problem(f"it cannot be check up: {error.why}", "Try again in a minute.")


async def check_approvers_of(
    directory: Directory, project: ProjectSettings, kinds: Mapping[str, Kind]
) -> CheckResult:
    """Say whether requests of a project can get their approvals; `kinds` are those of the named."""
    policy, subject = project.policy, approvers_subject(project)
    if policy.approvers.everyone:
        return subject.ok(f"{policy.approvals} wanted; every full member may approve")
    if policy.approvers.users - kinds.keys():
        return subject.unchecked("not everybody who is named could be looked up, see above")
    try:
        able = _able(policy.approvers, kinds)
        able |= await directory.full_members_of(policy.approvers.groups, policy.approvals + 1)
        requesters = await _requesters(directory, policy.requesters)
    except DirectoryError as error:
        return subject.unchecked(f"the groups could not be read: {error.why}")
    return check_approvers(subject, policy, able, requesters)


def _able(people: People, kinds: Mapping[str, Kind]) -> frozenset[str]:
    """Return the named who are there, and can click."""
    return frozenset(user for user in people.users if kinds[user] not in UNABLE)


async def _requesters(directory: Directory, requesters: People) -> frozenset[str] | None:
    if requesters.everyone:
        return None
    return requesters.users | await directory.members_of(requesters.groups)


def check_approvers(
    subject: Subject, policy: Policy, able: frozenset[str], requesters: frozenset[str] | None
) -> CheckResult:
    """Check whether enough people can approve (pure).

    Args:
        subject: what the result is about.
        policy: the rules of the project.
        able: who can approve; of large groups at least one more than is wanted.
        requesters: who may ask; None for every full member.
    """
    wanted = policy.approvals
    message = f"{wanted} wanted, {len(able)} can approve"
    if len(able) < wanted:
        return subject.problem(f"{wanted} wanted, but only {len(able)} can approve", MORE)
    if policy.self_approval or len(able) > wanted:
        return subject.ok(
            message if len(able) == wanted else f"{wanted} wanted, enough can approve"
        )
    if requesters is not None and requesters <= able:
        return subject.problem(f"{message}, and requesters cannot approve their own request", MORE)
    if requesters is None or requesters & able:
        return subject.warning(f"{message}; when one of them asks, too few are left", MORE)
    return subject.ok(message)
