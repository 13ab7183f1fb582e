"""The people and user groups that the settings name, and whether approvers are enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.cancellation.people import Kind
from bot.doctor.named import called
from bot.doctor.results import CheckResult, Subject
from bot.doctor.tokens import said
from bot.slack.directory import UNKNOWN_USER, kind_of
from bot.slack.errors import CALL_ERRORS, DirectoryError, translate_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.cancellation.people import People
    from bot.cancellation.policy import Policy
    from bot.doctor.named import Named
    from bot.settings import ProjectSettings
    from bot.slack.directory import Directory
    from bot.slack.identity import Identity

CHECK_USER = "Check the id: in the person's profile, under the three dots, Copy member ID."
CHECK_GROUP = "Check the id: in Slack under People & user groups, Copy group ID."
TAKE_OUT = "Take the id out of the settings."
MORE = "Name more people, or a group with more, or ask for fewer approvals (BOT_APPROVALS)."

#: What is odd about somebody who is named, though it is allowed.
ODD = {
    Kind.GUEST: "a guest, who has this right only because the id is named",
    Kind.OUTSIDER: "of another organization, and has this right only because the id is named",
}
#: Who cannot click.
UNABLE = {Kind.BOT: "an app, which clicks no button", Kind.DEACTIVATED: "deactivated"}


def user_subject(user: Named) -> Subject:
    return Subject("user", user.about)


def group_subject(group: Named) -> Subject:
    return Subject("group", group.about)


def approvers_subject(project: ProjectSettings) -> Subject:
    return Subject("approvers", f"{called(project, 'approvals')}, {called(project, 'approvers')}")


async def user_finding(
    client: AsyncWebClient, identity: Identity, user: Named, kinds: dict[str, Kind]
) -> CheckResult:
    """Ask Slack about one person, whose kind goes to `kinds`."""
    subject = user_subject(user)
    try:
        answer = await client.users_info(user=user.id)
    except CALL_ERRORS as error:
        if translate_error(error).code in UNKNOWN_USER:
            kinds[user.id] = Kind.DEACTIVATED  # for the approvers' sake: nobody who could click
        return _unreadable_user(subject, error)
    found = answer.get("user") or {}
    kind = kinds[user.id] = kind_of(found, identity)
    name = f"@{found.get('name') or user.id}"
    if kind in UNABLE:
        return subject.warning(f"{name} is {UNABLE[kind]}", TAKE_OUT)
    if kind in ODD:
        return subject.warning(f"{name} is {ODD[kind]}", f"If that is not meant: {TAKE_OUT}")
    return subject.ok(f"{name} is a full member")


def _unreadable_user(subject: Subject, error: BaseException) -> CheckResult:
    code = translate_error(error).code
    if code == "missing_scope":
        return subject.unchecked("the scope to look is missing, see above")
    if code in UNKNOWN_USER:
        return subject.problem("Slack knows nobody with this id", CHECK_USER)
    return subject.problem(f"it cannot be looked up: {said(error)}", "Try again in a minute.")


async def group_finding(directory: Directory, group: Named) -> CheckResult:
    """Ask Slack who is in one user group."""
    subject = group_subject(group)
    try:
        members = await directory.members_of([group.id])
    except DirectoryError as error:
        return _unreadable_group(subject, error)
    if not members:
        return subject.warning("nobody is in it", "Add people to the group, or name another.")
    return subject.ok(f"{len(members)} in it")


def _unreadable_group(subject: Subject, error: DirectoryError) -> CheckResult:
    match error.code:
        case "missing_scope":
            return subject.unchecked("the scope to look is missing, see above")
        case "no_such_subteam" | "subteam_not_found":
            return subject.problem("Slack knows no such user group, or it is disabled", CHECK_GROUP)
        case "plan_upgrade_required":
            return subject.problem(error.why, "Name people by their own ids instead.")
    return subject.problem(f"it cannot be looked up: {error.why}", "Try again in a minute.")


async def approvers_finding(
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
        able |= await directory.able_in(policy.approvers.groups, policy.approvals + 1)
        askers = await _askers(directory, policy.requesters)
    except DirectoryError as error:
        return subject.unchecked(f"the groups could not be read: {error.why}")
    return judge(subject, policy, able, askers)


def _able(people: People, kinds: Mapping[str, Kind]) -> frozenset[str]:
    """Return the named who are there, and can click."""
    return frozenset(user for user in people.users if kinds[user] not in UNABLE)


async def _askers(directory: Directory, requesters: People) -> frozenset[str] | None:
    if requesters.everyone:
        return None
    return requesters.users | await directory.members_of(requesters.groups)


def judge(
    subject: Subject, policy: Policy, able: frozenset[str], askers: frozenset[str] | None
) -> CheckResult:
    """Judge whether those who can approve are enough (pure).

    Args:
        subject: what the finding is about.
        policy: the rules of the project.
        able: who can approve; of large groups at least one more than is wanted.
        askers: who may ask; None for every full member.
    """
    wanted = policy.approvals
    says = f"{wanted} wanted, {len(able)} can approve"
    if len(able) < wanted:
        return subject.problem(f"{wanted} wanted, but only {len(able)} can approve", MORE)
    if policy.self_approval or len(able) > wanted:
        return subject.ok(says if len(able) == wanted else f"{wanted} wanted, enough can approve")
    if askers is not None and askers <= able:
        return subject.problem(f"{says}, and nobody may approve their own request", MORE)
    if askers is None or askers & able:
        return subject.warning(f"{says}; when one of them asks, too few are left", MORE)
    return subject.ok(says)
