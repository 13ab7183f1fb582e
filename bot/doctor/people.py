"""Checks the channels, user groups and approvers that the settings name."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bot.cancellation.people import Person
from bot.cancellation.policy import Policy
from bot.doctor.results import Result
from bot.settings import ProjectSettings
from bot.slack.client import Identity, SlackClient
from bot.slack.directory import read_person
from bot.slack.errors import NoUserGroups, SlackError, UnknownPerson

MAX_CONCURRENT_CALLS = 5  #: Slack limits calls by the minute
MAX_PEOPLE = 100  #: people of one policy who are looked up
INVITE = "Type /invite in the channel, and choose the bot."
CHECK_ID = (
    "Check the id (at the end of the channel's details); if the channel is private, invite the bot."
)
MORE = "Name more people or a larger group (BOT_APPROVERS), or require fewer approvals."
NAME_APPROVERS = "Name people or a user group in BOT_APPROVERS."


@dataclass
class WorkspaceChecks:
    """The checks by the bot token, with at most a few calls at a time."""

    client: SlackClient
    identity: Identity
    projects: Sequence[ProjectSettings]
    _groups: dict[str, list[str]] = field(default_factory=dict)  #: members of those that were read
    _slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_CALLS)
    )

    async def run(self) -> list[Result]:
        policies = [project.policies.default for project in self.projects]
        channels = sorted({policy.channel for policy in policies if policy.channel})
        groups = sorted({group for policy in policies for group in policy.may_ask.groups})
        reads = [*map(self._check_channel, channels), *map(self._check_group, groups)]
        results = await asyncio.gather(*reads)
        deciding = [project for project in self.projects if approvals_of(project)]
        of_projects = await asyncio.gather(*map(self._check_approvers, deciding))
        return [*results, *of_projects]

    async def _check_channel(self, channel: str) -> Result:
        """Check that the bot can post in a channel, and that the channel is internal."""
        subject = Result("channel", f"channel {channel}")
        try:
            async with self._slots:
                answer = await self.client.conversations_info(channel=channel)
        except SlackError as error:
            return _unread_channel(subject, error)
        found: dict[str, Any] = answer.get("channel") or {}
        name = f"#{found.get('name') or channel}"
        if found.get("is_archived"):
            return subject.problem(f"{name} is archived.", "Set another channel, or unarchive it.")
        posts_anywhere = "chat:write.public" in self.identity.scopes
        if not found.get("is_member") and (found.get("is_private") or not posts_anywhere):
            return subject.problem(f"The bot is not in {name}, so it cannot post there.", INVITE)
        if found.get("is_ext_shared"):
            fix = "Verify that they may see what is cancelled, and why."
            return subject.warning(f"People of another organization can read {name}.", fix)
        return subject.ok(f"The bot can post in {name}.")

    async def _check_group(self, group: str) -> Result:
        subject = Result("group", f"user group {group}")
        try:
            async with self._slots:
                answer = await self.client.usergroups_users_list(usergroup=group)
        except NoUserGroups:
            return subject.problem(NoUserGroups.sentence, "Name people by their own ids instead.")
        except UnknownPerson:
            fix = "Check the id: in Slack under People & user groups, Copy group ID."
            return subject.problem("It does not exist, or it is disabled.", fix)
        except SlackError as error:
            return subject.problem(f"Its people cannot be read. {error}", "Try again in a minute.")
        members = self._groups[group] = [str(user) for user in answer.get("users") or ()]
        if not members:
            return subject.warning("It has no members.", "Add people to it, or set another.")
        return subject.ok(f"It has {len(members)} member{'s' * (len(members) > 1)}.")

    async def _check_approvers(self, project: ProjectSettings) -> Result:
        """Check that enough people may approve."""
        policy, needed = project.policies.default, approvals_of(project)
        subject = Result("approvers", f"approvers of {project.label}")
        if policy.approvers.everyone:
            sentence = "Every full member may approve, so that nobody is mentioned."
            return subject.warning(sentence, NAME_APPROVERS)
        unread = [group for group in policy.approvers.groups if group not in self._groups]
        if unread:
            return subject.unchecked(f"The people of {', '.join(unread)} could not be read.")
        try:
            able = await self._able(policy)
        except SlackError as error:
            return subject.unchecked(f"The people could not be read. {error}")
        return check_count(subject, needed, len(able))

    async def _able(self, policy: Policy) -> list[Person]:
        """Return the people who may approve; of large groups not all are looked up."""
        users = set(policy.approvers.users)
        for group in policy.approvers.groups:
            users |= set(self._groups[group])
        people = await asyncio.gather(*map(self._person, sorted(users)[:MAX_PEOPLE]))
        return [person for person in people if person is not None and person in policy.approvers]

    async def _person(self, user: str) -> Person | None:
        try:
            async with self._slots:
                answer = await self.client.users_info(user=user)
        except UnknownPerson:
            return None
        person = read_person(user, answer.get("user") or {}, self.identity)
        groups = frozenset(name for name, members in self._groups.items() if user in members)
        return replace(person, groups=groups)


def approvals_of(project: ProjectSettings) -> int:
    """Return how many people must be able to decide: also one who lets a download run."""
    policies = project.policies
    needed = [policies.default.approvals, *(rule.approvals or 0 for rule in policies.clusters)]
    return max(*needed, 1 if policies.default.auto_cancels else 0)


def check_count(subject: Result, needed: int, able: int) -> Result:
    """Compare the number of approvals with the number of people who can give them."""
    people = f"{able} {'person' if able == 1 else 'people'} can approve; {needed} must"
    if able < needed:
        return subject.problem(f"{people}.", MORE)
    if able == needed:
        return subject.warning(f"{people}: too few are left when one of them asks.", MORE)
    return subject.ok(f"{people}.")


def _unread_channel(subject: Result, error: SlackError) -> Result:
    if error.code == "missing_scope":
        return subject.unchecked("A scope for this check is missing.", "Add channels:read.")
    if error.code == "channel_not_found":
        sentence = "It does not exist, or it is private and the bot is not in it."
        return subject.problem(sentence, CHECK_ID)
    return subject.problem(f"It cannot be read. {error}", "Try again in a minute.")
