"""Everything that is checked of Slack, in the order in which it is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from bot.doctor import channels, named, people, tokens
from bot.doctor.clock import compare
from bot.doctor.results import within
from bot.slack.client import build_client, new_session
from bot.slack.directory import Directory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.cancellation.people import Kind
    from bot.doctor.results import CheckResult, Subject
    from bot.doctor.tokens import Us
    from bot.settings import ProjectSettings, Settings

T = TypeVar("T")

#: Calls at once; Slack counts them by the minute.
AT_ONCE = 5

#: Why nothing behind the bot token can be checked.
LOCKED = "the check of SLACK_BOT_TOKEN failed"

#: Seconds to wait for one answer of Slack about a person or a group.
PATIENCE = 10.0

#: Seconds for all channels, people and groups together, however many they are.
ALTOGETHER = 30.0


async def examine_slack(settings: Settings, now: Callable[[], datetime]) -> list[CheckResult]:
    """Check tokens and scopes first, then whatever they open."""
    slack = settings.slack
    async with new_session() as session:
        client = build_client(slack.bot_token.get_secret_value(), slack.api_url, session)
        first = await tokens.introduce(client)
        came = now()
        way = tokens.APP_TOKEN if slack.app_token else tokens.SIGNING_SECRET
        transport, inside = await asyncio.gather(
            within(way, tokens.transport_finding(settings, client, first.us)),
            _examine_inside(settings, client, first.us),
        )
    scopes = _scopes(settings, first.us)
    return [first.finding, *scopes, transport, *inside, compare("Slack", came, first.date)]


def _scopes(settings: Settings, us: Us | None) -> list[CheckResult]:
    if us is None:
        return [tokens.SCOPE.unchecked(LOCKED)]
    return tokens.scope_findings(us.scopes, groups=bool(named.groups(settings)))


async def _examine_inside(
    settings: Settings, client: AsyncWebClient, us: Us | None
) -> list[CheckResult]:
    if us is None:
        return [subject.unchecked(LOCKED) for subject in _subjects(settings)]
    return await Inside(settings, client, us).examine()


def _subjects(settings: Settings) -> list[Subject]:
    """List what lies behind the bot token."""
    return [
        *map(channels.subject_of, named.channels(settings)),
        *map(people.user_subject, named.users(settings)),
        *map(people.group_subject, named.groups(settings)),
        *map(people.approvers_subject, with_approvals(settings)),
    ]


def with_approvals(settings: Settings) -> list[ProjectSettings]:
    return [project for project in settings.projects if project.policy.approvals > 0]


class Inside:
    """The checks that need the bot token."""

    def __init__(self, settings: Settings, client: AsyncWebClient, us: Us) -> None:
        self._settings = settings
        self._client = client
        self._identity = us.identity
        self._directory = Directory(client, us.identity, patience=PATIENCE)
        self._kinds: dict[str, Kind] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._until = asyncio.get_running_loop().time() + ALTOGETHER

    async def examine(self) -> list[CheckResult]:
        """Look at everything at once; approvers come after the people that they are."""
        of_channels, of_users, of_groups = await asyncio.gather(
            self._all(channels.subject_of, self._channel, named.channels(self._settings)),
            self._all(people.user_subject, self._user, named.users(self._settings)),
            self._all(people.group_subject, self._group, named.groups(self._settings)),
        )
        projects = with_approvals(self._settings)
        of_approvers = await self._all(people.approvers_subject, self._approvers, projects)
        return [*of_channels, *of_users, *of_groups, *of_approvers]

    async def _all(
        self,
        subject_of: Callable[[T], Subject],
        check: Callable[[T], Awaitable[CheckResult]],
        things: list[T],
    ) -> list[CheckResult]:
        async def one(thing: T) -> CheckResult:
            async with self._turn:
                return await within(subject_of(thing), check(thing), self._left())

        return await asyncio.gather(*map(one, things))

    def _left(self) -> float:
        return max(0.0, self._until - asyncio.get_running_loop().time())

    def _channel(self, channel: named.Named) -> Awaitable[CheckResult]:
        return channels.channel_finding(self._client, self._identity, channel)

    def _user(self, user: named.Named) -> Awaitable[CheckResult]:
        return people.user_finding(self._client, self._identity, user, self._kinds)

    def _group(self, group: named.Named) -> Awaitable[CheckResult]:
        return people.group_finding(self._directory, group)

    def _approvers(self, project: ProjectSettings) -> Awaitable[CheckResult]:
        return people.approvers_finding(self._directory, project, self._kinds)
