"""Checks of Slack: tokens and scopes, then the ids that the settings name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.cancellation.people import Kind
from bot.doctor import people
from bot.doctor.people import call_failure
from bot.doctor.results import CheckResult, Level, Subject, compare_clock, http_date, within
from bot.settings import ProjectSettings, Settings
from bot.slack.client import Identity, build_client, new_session
from bot.slack.directory import Directory
from bot.slack.errors import CALL_ERRORS, InvalidToken, translate_error
from bot.slack.manifest import SCOPES

T = TypeVar("T")

#: Calls at once; Slack counts them by the minute.
MAX_CONCURRENT_CALLS = 5

#: Why nothing behind the bot token can be checked.
LOCKED = "the check of SLACK_BOT_TOKEN failed"

#: Seconds to wait for one answer of Slack about a person or a group.
TIMEOUT = 10.0

#: Seconds for all channels, people and groups merge_unchecked, however many they are.
IDS_TIMEOUT = 30.0

log = structlog.get_logger(__name__)

BOT_TOKEN = Subject("slack_token", "SLACK_BOT_TOKEN")
SCOPE = Subject("slack_scopes", "scopes of SLACK_BOT_TOKEN")
APP_TOKEN = Subject("slack_app_token", "SLACK_APP_TOKEN")
SIGNING_SECRET = Subject("slack_signing_secret", "SLACK_SIGNING_SECRET")

COPY_BOT = "Copy the Bot User OAuth Token again: in Slack's app, OAuth & Permissions."
COPY_APP = (
    "Copy the App-Level Token again: in Slack's app, Basic Information. "
    "It needs the scope connections:write."
)
TRY_AGAIN = "Check SLACK_API_URL and the network, and try again."
GRANT = "Add it under OAuth & Permissions, and install the app again."

#: Seconds for a bare connection to where Socket Mode is.
CONNECT_TIMEOUT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BotInfo:
    """What Slack says of the bot.

    Attributes:
        scopes: what was granted; None where Slack does not say.
        app: the id of the app (`A…`); empty where Slack does not say.
    """

    identity: Identity
    scopes: frozenset[str] | None
    app: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """The answer to `auth.test`: who we are, unless the token was refused, and what time it is."""

    result: CheckResult
    bot: BotInfo | None = None
    date: datetime | None = None


async def authenticate(client: AsyncWebClient) -> Authentication:
    """Ask Slack who the bot is."""
    try:
        answer = await client.auth_test()
    except CALL_ERRORS as error:
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        return Authentication(
            result=_bot_token_failure(error), date=http_date(_header(headers, "date"))
        )
    told = {name: answer.get(name) for name in (*IDS, "user", "team")}
    date = http_date(_header(answer.headers, "date"))
    if not told["bot_id"]:
        message = "Slack accepts it, but it is no bot's token"
        return Authentication(result=BOT_TOKEN.problem(message, COPY_BOT), date=date)
    scopes = _header(answer.headers, "x-oauth-scopes")
    bot = BotInfo(
        identity=Identity.of(told, scopes),
        scopes=frozenset(scopes.replace(",", " ").split()) or None,
        app=await _app_of(client, str(told["bot_id"])),
    )
    message = f"accepted: the bot is @{told['user']} in the workspace {told['team']}"
    return Authentication(result=BOT_TOKEN.ok(message), bot=bot, date=date)


IDS = ("team_id", "user_id", "bot_id", "enterprise_id", "url")


def _bot_token_failure(error: BaseException) -> CheckResult:
    meaning = translate_error(error)
    if isinstance(meaning, InvalidToken):
        return BOT_TOKEN.problem(f"Slack refuses it ({meaning.code})", COPY_BOT)
    return BOT_TOKEN.problem(call_failure(error), TRY_AGAIN)


def _header(headers: Mapping[str, Any], name: str) -> str:
    return str({key.lower(): value for key, value in headers.items()}.get(name, ""))


async def _app_of(client: AsyncWebClient, bot: str) -> str:
    try:
        answer = await client.bots_info(bot=bot)
    except CALL_ERRORS:
        return ""  # it only serves to compare_clock; a missing scope has its own line
    return str((answer.get("bot") or {}).get("app_id") or "")


def check_scopes(scopes: frozenset[str] | None, *, groups: bool) -> list[CheckResult]:
    """Compare what was granted with what the bot needs.

    Args:
        scopes: what was granted; None where Slack does not say.
        groups: whether the settings name user groups.
    """
    if scopes is None:
        return [SCOPE.unchecked("Slack did not say which scopes the token has")]
    optional = {"chat:write.public"} if groups else {"chat:write.public", "usergroups:read"}
    found = []
    for scope, why in SCOPES.items():
        if scope not in scopes:
            subject = Subject(SCOPE.check, f"scope {scope}")
            check_approvers = subject.warning if scope in optional else subject.problem
            found.append(check_approvers(f"it is missing; it is for: {why}", GRANT))
    if more := sorted(scopes - SCOPES.keys()):
        hint = "Take out what nothing needs: `cancel-restore manifest` has the list."
        found.append(SCOPE.warning(f"it has more than the bot needs: {', '.join(more)}", hint))
    return found or [SCOPE.ok(f"it has the {len(SCOPES)} that the bot needs, and no more")]


async def check_transport(
    settings: Settings, client: AsyncWebClient, bot: BotInfo | None
) -> CheckResult:
    """Check the way by which payloads reach the bot."""
    if token := settings.slack.app_token:
        return await check_app_token(client, token.get_secret_value(), bot)
    return SIGNING_SECRET.ok(
        "it is set, for HTTP mode; only a request that Slack signs can prove it "
        "(it is not the client secret)"
    )


async def check_app_token(client: AsyncWebClient, token: str, bot: BotInfo | None) -> CheckResult:
    """Ask for an address of Socket Mode, without connecting to it as the bot would."""
    try:
        answer = await client.apps_connections_open(app_token=token)
        app = str((await client.auth_test(token=token)).get("app_id") or "")
    except CALL_ERRORS as error:
        return _app_token_failure(error)
    if bot and bot.app and app and app != bot.app:
        return APP_TOKEN.problem(
            f"it is of another app ({app}) than SLACK_BOT_TOKEN ({bot.app})", COPY_APP
        )
    return await _check_reachable(client, str(answer.get("url") or ""))


def _app_token_failure(error: BaseException) -> CheckResult:
    meaning = translate_error(error)
    if meaning.code == "missing_scope":
        return APP_TOKEN.problem("it lacks the scope connections:write", COPY_APP)
    if isinstance(meaning, InvalidToken):
        return APP_TOKEN.problem(f"Slack refuses it ({meaning.code})", COPY_APP)
    return APP_TOKEN.problem(call_failure(error), TRY_AGAIN)


async def _check_reachable(client: AsyncWebClient, address: str) -> CheckResult:
    """Open a bare connection: a real one would be given the commands of people."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
    if client.proxy:
        return APP_TOKEN.ok("accepted; Socket Mode goes through the proxy, which was not tried")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
        await writer.wait_closed()
    except OSError:
        return APP_TOKEN.problem(
            f"accepted, but {host}, port {port}, where Socket Mode is, cannot be reached",
            "Let the bot's machine connect there.",
        )
    return APP_TOKEN.ok("accepted; Socket Mode can be reached")


async def check_slack(settings: Settings, now: Callable[[], datetime]) -> list[CheckResult]:
    """Check tokens and scopes first, then whatever they open."""
    slack = settings.slack
    async with new_session() as session:
        client = build_client(slack.bot_token.get_secret_value(), slack.api_url, session)
        first = await authenticate(client)
        came = now()
        way = APP_TOKEN if slack.app_token else SIGNING_SECRET
        transport, inside = await asyncio.gather(
            within(way, check_transport(settings, client, first.bot)),
            _check_ids(settings, client, first.bot),
        )
    scopes = _scopes(settings, first.bot)
    return [first.result, *scopes, transport, *inside, compare_clock("Slack", came, first.date)]


def _scopes(settings: Settings, bot: BotInfo | None) -> list[CheckResult]:
    if bot is None:
        return [SCOPE.unchecked(LOCKED)]
    return check_scopes(bot.scopes, groups=bool(people.groups(settings)))


async def _check_ids(
    settings: Settings, client: AsyncWebClient, bot: BotInfo | None
) -> list[CheckResult]:
    if bot is None:
        return [subject.unchecked(LOCKED) for subject in _subjects(settings)]
    return await SlackChecks(settings, client, bot).examine()


def _subjects(settings: Settings) -> list[Subject]:
    """List what lies behind the bot token."""
    return [
        *map(people.channel_subject, people.channels(settings)),
        *map(people.user_subject, people.users(settings)),
        *map(people.group_subject, people.groups(settings)),
        *map(people.approvers_subject, with_approvals(settings)),
    ]


def with_approvals(settings: Settings) -> list[ProjectSettings]:
    return [project for project in settings.projects if project.policy.approvals > 0]


class SlackChecks:
    """The checks that need the bot token."""

    def __init__(self, settings: Settings, client: AsyncWebClient, bot: BotInfo) -> None:
        self._settings = settings
        self._client = client
        self._identity = bot.identity
        self._directory = Directory(client, bot.identity, timeout=TIMEOUT)
        self._kinds: dict[str, Kind] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
        self._until = asyncio.get_running_loop().time() + IDS_TIMEOUT

    async def examine(self) -> list[CheckResult]:
        """Look at everything at once; approvers come after the people that they are."""
        of_channels, of_users, of_groups = await asyncio.gather(
            self._all(people.channel_subject, self._channel, people.channels(self._settings)),
            self._all(people.user_subject, self._user, people.users(self._settings)),
            self._all(people.group_subject, self._group, people.groups(self._settings)),
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
            async with self._slots:
                return await within(subject_of(thing), check(thing), self._left())

        return await asyncio.gather(*map(one, things))

    def _left(self) -> float:
        return max(0.0, self._until - asyncio.get_running_loop().time())

    def _channel(self, channel: people.NamedId) -> Awaitable[CheckResult]:
        return people.check_channel(self._client, self._identity, channel)

    def _user(self, user: people.NamedId) -> Awaitable[CheckResult]:
        return people.check_user(self._client, self._identity, user, self._kinds)

    def _group(self, group: people.NamedId) -> Awaitable[CheckResult]:
        return people.check_group(self._directory, group)

    def _approvers(self, project: ProjectSettings) -> Awaitable[CheckResult]:
        return people.check_approvers_of(self._directory, project, self._kinds)


async def warn_about_ids(settings: Settings, client: AsyncWebClient, identity: Identity) -> None:
    """Ask Slack once about every channel, person and group that is named.

    Without this a channel for audits that is not there would only be noticed by who misses its
    cards: they go to direct messages.
    """
    bot = BotInfo(identity=identity, scopes=None, app="")
    for found in await SlackChecks(settings, client, bot).examine():
        if found.level is Level.PROBLEM:
            log.warning(
                "setting needs attention",
                setting=found.subject,
                why=found.message,
                what_to_do=found.hint,
            )
