"""Checks Slack: the two tokens, their scopes and app, and a hello of Socket Mode."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aiohttp
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.doctor.people import WorkspaceChecks
from bot.doctor.results import TRY_AGAIN, Result, within
from bot.settings import Settings, SlackSettings
from bot.slack.client import Identity, SlackClient, new_session
from bot.slack.errors import InvalidToken, SlackError

HELLO_TIMEOUT = 8.0  #: seconds until Slack must say hello on a new connection
PEOPLE_TIMEOUT = 40.0  #: seconds for channels, groups and approvers together
BOT_TOKEN = Result("slack_token", "SLACK_BOT_TOKEN")
SCOPES = Result("slack_scopes", "scopes of SLACK_BOT_TOKEN")
APP_TOKEN = Result("slack_app_token", "SLACK_APP_TOKEN")
OTHERS = Result("slack_others", "scopes, channels, groups, approvers")
PEOPLE = Result("slack_people", "channels, groups, approvers")
NOT_SET = (
    "Slack was not checked: SLACK_BOT_TOKEN and SLACK_APP_TOKEN are not both set. `list`, `cancel` "
    "and `audit` do not need them."
)
SET_TOKENS = "For `serve`: create the app from manifest.yml, then set both."
COPY_BOT = "Copy the Bot User OAuth Token again: in Slack's app, OAuth & Permissions."
COPY_APP = (
    "Copy the App-Level Token again: in Slack's app, Basic Information. It needs the scope "
    "connections:write."
)
GRANT = "Add it in Slack's app under OAuth & Permissions, and install the app again."
#: The scopes that the bot always needs, and for what.
NEEDED: Mapping[str, str] = {
    "commands": "the command",
    "chat:write": "messages",
    "users:read": "who is a member, a guest, or deactivated",
}


async def check_slack(settings: Settings) -> list[Result]:
    """Check the tokens, then what the bot token can read."""
    slack = settings.slack
    if slack is None:
        return [Result("slack", "Slack").unchecked(NOT_SET, SET_TOKENS)]
    async with new_session() as session:
        client = SlackClient(slack.bot_token.get_secret_value(), slack.api_url, session)
        result, answer = await check_bot_token(client)
        bot = str(answer["bot_id"]) if answer else None
        app = within(APP_TOKEN, 3 * HELLO_TIMEOUT, check_app_token(client, slack, session, bot))
        if answer is None:
            others = OTHERS.unchecked("They need an accepted SLACK_BOT_TOKEN.")
            return [result, others, *await app]
        identity = Identity.of(answer)
        workspace = WorkspaceChecks(client, identity, settings.projects)
        checks = await asyncio.gather(app, within(PEOPLE, PEOPLE_TIMEOUT, workspace.run()))
    scopes = check_scopes(identity.scopes, settings)
    return [result, *scopes, *(result for part in checks for result in part)]


async def check_bot_token(client: SlackClient) -> tuple[Result, AsyncSlackResponse | None]:
    """Return the result, and Slack's answer where it accepts the token of a bot."""
    try:
        answer = await client.auth_test()
    except SlackError as error:
        return _token_failure(BOT_TOKEN, error, COPY_BOT), None
    if not answer.get("bot_id"):
        return BOT_TOKEN.problem("Slack accepts it, but it is not a bot's token.", COPY_BOT), None
    name, team = answer.get("user"), answer.get("team")
    return BOT_TOKEN.ok(f"Slack accepts it: the bot is @{name} in the workspace {team}."), answer


def check_scopes(scopes: frozenset[str], settings: Settings) -> list[Result]:
    """Compare the granted scopes with those that the bot and the settings need."""
    if not scopes:
        return [SCOPES.unchecked("Slack does not return them.")]
    policies = [project.policies.default for project in settings.projects]
    needed = dict(NEEDED)
    if any(policy.may_ask.groups for policy in policies):
        needed["usergroups:read"] = "people of the user groups in the settings"
    wanted = {
        "channels:read": "whether the bot may post in a public channel",
        "groups:read": "whether the bot may post in a private channel",
    }
    if any(policy.channel is None for policy in policies):
        wanted["chat:write.public"] = (
            "without BOT_CHANNEL, messages in public channels to which the bot was not invited"
        )
    if any(policy.auto_cancels for policy in policies):
        wanted["users:read.email"] = (
            "with auto-cancel, that the person who started a download does not let it run"
        )
    results = [
        replace(SCOPES, subject=f"scope {scope}").problem(f"It is missing, for: {why}.", GRANT)
        for scope, why in needed.items()
        if scope not in scopes
    ]
    results += [
        replace(SCOPES, subject=f"scope {scope}").warning(f"It is missing, for: {why}.", GRANT)
        for scope, why in wanted.items()
        if scope not in scopes
    ]
    return results or [SCOPES.ok("The token has all that the bot needs.")]


async def check_app_token(
    client: SlackClient, slack: SlackSettings, session: aiohttp.ClientSession, bot: str | None
) -> Result:
    """Open one Socket Mode connection, and close it at Slack's hello, which names the app.

    Only the hello shows that Socket Mode is on. `bot` is the bot's id, if the bot token is good.
    """
    try:
        answer = await client.apps_connections_open(app_token=slack.app_token.get_secret_value())
    except SlackError as error:
        return _token_failure(APP_TOKEN, error, COPY_APP)
    try:
        frame = await _first_frame(client, session, str(answer.get("url")))
    except (aiohttp.ClientError, OSError, ValueError, TypeError) as error:
        why = str(error) or type(error).__name__
        return APP_TOKEN.problem(
            f"Slack accepts it, but Socket Mode cannot be reached ({why}).",
            "Allow WebSocket connections from the bot's machine to wss-primary.slack.com.",
        )
    if frame.get("type") != "hello":
        return _refused_connection(str(frame.get("reason")))
    own = str((frame.get("connection_info") or {}).get("app_id") or "")
    return await compare_apps(client, own, bot)


async def _first_frame(
    client: SlackClient, session: aiohttp.ClientSession, url: str
) -> Mapping[str, Any]:
    async with asyncio.timeout(HELLO_TIMEOUT):
        async with session.ws_connect(url, proxy=client.proxy) as socket:
            frame: Mapping[str, Any] = await socket.receive_json()
    return frame


def _refused_connection(reason: str) -> Result:
    if reason == "link_disabled":
        return APP_TOKEN.problem(
            "Slack accepts it, but Socket Mode is off.", "Turn it on in Slack's app, Socket Mode."
        )
    if reason == "too_many_websockets":
        return APP_TOKEN.warning(
            "Slack accepts it, but the app has its 10 connections already.",
            "End the bots that should not run.",
        )
    return APP_TOKEN.problem(f"Slack accepts it, but does not say hello ({reason}).", TRY_AGAIN)


async def compare_apps(client: SlackClient, own: str, bot: str | None) -> Result:
    """Compare the app of the connection with that of the bot token."""
    hello = "Slack accepts it, and Socket Mode says hello"
    if bot is None:
        return APP_TOKEN.unchecked(f"{hello}; whether the other token is of the same app is open.")
    try:
        of_bot = ((await client.bots_info(bot=bot)).get("bot") or {}).get("app_id")
    except SlackError as error:
        return APP_TOKEN.unchecked(f"{hello}; its app could not be compared. {error}")
    if not own or not of_bot:
        return APP_TOKEN.unchecked(f"{hello}; Slack does not name the app.")
    if own != of_bot:
        sentence = f"It belongs to another app ({own}) than SLACK_BOT_TOKEN ({of_bot})."
        return APP_TOKEN.problem(sentence, COPY_APP)
    return APP_TOKEN.ok(f"{hello}; both tokens are of the same app.")


def _token_failure(subject: Result, error: SlackError, fix: str) -> Result:
    if error.code == "missing_scope":  # of the app token: each token may call auth.test
        return subject.problem("It lacks the scope connections:write.", fix)
    if isinstance(error, InvalidToken):
        return subject.problem(f"Slack refuses it ({error.code}).", fix)
    return subject.problem(str(error), f"{TRY_AGAIN} Check SLACK_API_URL too.")
