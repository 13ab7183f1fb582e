"""Checks Slack: tokens, scopes and transport, then the ids that the settings name."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import chain
from urllib.parse import SplitResult, urlsplit

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.atlas.transport import parse_date
from bot.doctor.blocks import BLOCKS, check_blocks, samples
from bot.doctor.people import (
    describe_failure,
    named_ids,
    planned_checks,
    run_id_checks,
    with_approvals,
)
from bot.doctor.results import CheckResult, compare_clock, within
from bot.settings import Settings
from bot.slack.client import Identity, Links, SlackClient, new_session
from bot.slack.deployment import set_deployment
from bot.slack.directory import Directory
from bot.slack.errors import InvalidToken, SlackError
from bot.slack.manifest import OPTIONAL_SCOPES, SCOPES

CONNECT_TIMEOUT = 5  #: seconds to open a TCP connection to the Socket Mode server
ID_TIMEOUT = 10.0  #: seconds to wait for one response about a person or a group

BOT_TOKEN = CheckResult("slack_token", "SLACK_BOT_TOKEN", "Slack")
SCOPE = CheckResult("slack_scopes", "scopes of SLACK_BOT_TOKEN", "Slack")
APP_TOKEN = CheckResult("slack_app_token", "SLACK_APP_TOKEN", "Slack")
SIGNING_SECRET = CheckResult("slack_signing_secret", "SLACK_SIGNING_SECRET", "Slack")
OTHERS = CheckResult("slack_others", "scopes, channels, people, messages", "Slack")
LOCKED = "the check of SLACK_BOT_TOKEN failed"
COPY_BOT = "Copy the Bot User OAuth Token again: in Slack's app, OAuth & Permissions."
COPY_APP = (
    "Copy the App-Level Token again: in Slack's app, Basic Information. "
    "It needs the scope connections:write."
)
NOT_TESTED = (
    "it is set, for HTTP mode; only a request that Slack signs can test it "
    "(the client secret is a different one)"
)
TRY_AGAIN = "Check SLACK_API_URL and the network, and try again."
GRANT = "Add it under OAuth & Permissions, and install the app again."


async def authenticate(client: AsyncWebClient) -> tuple[CheckResult, AsyncSlackResponse | None]:
    """Return the result, and Slack's answer where it accepts the token of a bot."""
    try:
        answer = await client.auth_test()
    except SlackError as error:
        return _token_failure(BOT_TOKEN, error, COPY_BOT), None
    if not answer.get("bot_id"):
        message = "Slack accepts it, but it is not a bot's token"
        return BOT_TOKEN.problem(message, COPY_BOT), None
    message = f"accepted: the bot is @{answer.get('user')} in the workspace {answer.get('team')}"
    return BOT_TOKEN.ok(message), answer


def _token_failure(subject: CheckResult, error: SlackError, hint: str) -> CheckResult:
    if error.code == "missing_scope":  # of the app token: each token may call auth.test
        return subject.problem("it lacks the scope connections:write", hint)
    if isinstance(error, InvalidToken):
        return subject.problem(f"Slack refuses it ({error.code})", hint)
    return subject.problem(describe_failure(error.code), TRY_AGAIN)


def check_scopes(scopes: frozenset[str], used: frozenset[str]) -> list[CheckResult]:
    """Compare the granted scopes; `used` are the optional scopes that the settings need."""
    if not scopes:
        return [SCOPE.unchecked("Slack's response does not contain the scopes of the token")]
    found = []
    for scope, why in SCOPES.items():
        if scope not in scopes:
            subject = replace(SCOPE, subject=f"scope {scope}")
            report = subject.warning if scope in OPTIONAL_SCOPES.keys() - used else subject.problem
            effect = f". Without it, {each}" if (each := OPTIONAL_SCOPES.get(scope)) else ""
            found.append(report(f"it is missing; its purpose: {why}{effect}", GRANT))
    if more := sorted(scopes - SCOPES.keys()):
        hint = "Remove the others; `cancel-restore manifest` has the list of scopes."
        found.append(SCOPE.warning(f"it has more than the bot needs: {', '.join(more)}", hint))
    return found or [SCOPE.ok(f"it has exactly the {len(scopes)} scopes that the bot needs")]


async def check_app_token(client: AsyncWebClient, token: str, bot: str = "") -> CheckResult:
    """Request an address of Socket Mode, and reach its host; `bot` is the bot's id, if known."""
    if not token:  # HTTP mode
        return SIGNING_SECRET.ok(NOT_TESTED)
    try:
        answer = await client.apps_connections_open(app_token=token)
    except SlackError as error:
        return _token_failure(APP_TOKEN, error, COPY_APP)
    with suppress(SlackError):  # no address of Socket Mode names its app, these answers do
        own = (await client.auth_test(token=token)).get("app_id")
        of_bot = ((await client.bots_info(bot=bot)).get("bot") or {}).get("app_id")
        if own and of_bot and own != of_bot:
            message = f"it belongs to another app ({own}) than SLACK_BOT_TOKEN ({of_bot})"
            return APP_TOKEN.problem(message, COPY_APP)
    return await _check_reachable(client, urlsplit(str(answer.get("url"))))


async def _check_reachable(client: AsyncWebClient, address: SplitResult) -> CheckResult:
    """Open a TCP connection only: Slack would send commands to a WebSocket."""
    if client.proxy:
        return APP_TOKEN.ok("accepted; the connection through the proxy was not tested")
    host, port = address.hostname, address.port or (443 if address.scheme == "wss" else 80)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return APP_TOKEN.problem(
            f"accepted, but the Socket Mode server cannot be reached ({host}, port {port})",
            "Allow connections from the bot's machine to this address.",
        )
    writer.close()
    return APP_TOKEN.ok("accepted; Socket Mode can be reached")


async def check_slack(settings: Settings, now: Callable[[], datetime]) -> list[CheckResult]:
    """Check the tokens and scopes, then the ids that the bot token can read."""
    slack = settings.slack
    async with new_session() as session:
        client = SlackClient(slack.bot_token.get_secret_value(), slack.api_url, session)
        accepted, answer = await authenticate(client)
        here = now()
        token = slack.app_token.get_secret_value() if slack.app_token else ""
        subject = APP_TOKEN if token else SIGNING_SECRET
        bot = str(answer["bot_id"]) if answer else ""
        transport = within(subject, check_app_token(client, token, bot))
        if answer is None:
            return [accepted, OTHERS.unchecked(LOCKED), *await transport]
        identity, date = Identity.of(answer), parse_date(answer.headers.get("date", ""))
        directory = Directory(client, identity, timeout=ID_TIMEOUT)
        set_deployment(settings.command, settings.label)
        links = Links(atlas=settings.atlas.base_url, identity=identity)
        found = await asyncio.gather(
            transport,
            run_id_checks(directory, planned_checks(settings)),
            within(BLOCKS, check_blocks(client, [*samples(links)])),
        )
    scopes = check_scopes(identity.scopes, needed_scopes(settings))
    clock = [compare_clock("Slack", here, date)] if date else []
    return [accepted, *scopes, *chain.from_iterable(found), *clock]


def needed_scopes(settings: Settings) -> frozenset[str]:
    groups = [each for each in named_ids(settings) if each.check == "group"]
    needed = {"usergroups:read": groups, "groups:read": with_approvals(settings)}
    return frozenset(scope for scope, by in needed.items() if by)
