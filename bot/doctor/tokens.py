"""What opens Slack: the bot token and its scopes, the app token, the signing secret."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bot.doctor.clock import http_date
from bot.doctor.results import Subject
from bot.slack.errors import CALL_ERRORS, InvalidToken, translate_error
from bot.slack.identity import Identity
from bot.slack.manifest import SCOPES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.doctor.results import CheckResult
    from bot.settings import Settings

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
CONNECTING = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Us:
    """What Slack says of the bot.

    Attributes:
        scopes: what was granted; None where Slack does not say.
        app: the id of the app (`A…`); empty where Slack does not say.
    """

    identity: Identity
    scopes: frozenset[str] | None
    app: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """The answer to `auth.test`: who we are, unless the token was refused, and what time it is."""

    finding: CheckResult
    us: Us | None = None
    date: datetime | None = None


async def introduce(client: AsyncWebClient) -> Introduction:
    """Ask Slack who the bot is."""
    try:
        answer = await client.auth_test()
    except CALL_ERRORS as error:
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        return Introduction(finding=_no(error), date=http_date(_header(headers, "date")))
    told = {name: answer.get(name) for name in (*IDS, "user", "team")}
    date = http_date(_header(answer.headers, "date"))
    if not told["bot_id"]:
        says = "Slack accepts it, but it is no bot's token"
        return Introduction(finding=BOT_TOKEN.problem(says, COPY_BOT), date=date)
    scopes = _header(answer.headers, "x-oauth-scopes")
    us = Us(
        identity=Identity.of(told, scopes),
        scopes=frozenset(scopes.replace(",", " ").split()) or None,
        app=await _app_of(client, str(told["bot_id"])),
    )
    says = f"accepted: the bot is @{told['user']} in the workspace {told['team']}"
    return Introduction(finding=BOT_TOKEN.ok(says), us=us, date=date)


IDS = ("team_id", "user_id", "bot_id", "enterprise_id", "url")


def _no(error: BaseException) -> CheckResult:
    meaning = translate_error(error)
    if isinstance(meaning, InvalidToken):
        return BOT_TOKEN.problem(f"Slack refuses it ({meaning.code})", COPY_BOT)
    return BOT_TOKEN.problem(said(error), TRY_AGAIN)


def said(error: BaseException) -> str:
    """Say in a few words what became of a call."""
    meaning = translate_error(error)
    return f"Slack answered {meaning.code}" if meaning.code else "Slack did not answer"


def _header(headers: Mapping[str, Any], name: str) -> str:
    return str({key.lower(): value for key, value in headers.items()}.get(name, ""))


async def _app_of(client: AsyncWebClient, bot: str) -> str:
    try:
        answer = await client.bots_info(bot=bot)
    except CALL_ERRORS:
        return ""  # it only serves to compare; a missing scope has its own line
    return str((answer.get("bot") or {}).get("app_id") or "")


def scope_findings(scopes: frozenset[str] | None, *, groups: bool) -> list[CheckResult]:
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
            judge = subject.warning if scope in optional else subject.problem
            found.append(judge(f"it is missing; it is for: {why}", GRANT))
    if more := sorted(scopes - SCOPES.keys()):
        do = "Take out what nothing needs: `cancel-restore manifest` has the list."
        found.append(SCOPE.warning(f"it has more than the bot needs: {', '.join(more)}", do))
    return found or [SCOPE.ok(f"it has the {len(SCOPES)} that the bot needs, and no more")]


async def transport_finding(
    settings: Settings, client: AsyncWebClient, us: Us | None
) -> CheckResult:
    """Check the way by which payloads reach the bot."""
    if token := settings.slack.app_token:
        return await app_token_finding(client, token.get_secret_value(), us)
    return SIGNING_SECRET.ok(
        "it is set, for HTTP mode; only a request that Slack signs can prove it "
        "(it is not the client secret)"
    )


async def app_token_finding(client: AsyncWebClient, token: str, us: Us | None) -> CheckResult:
    """Ask for an address of Socket Mode, without connecting to it as the bot would."""
    try:
        answer = await client.apps_connections_open(app_token=token)
        app = str((await client.auth_test(token=token)).get("app_id") or "")
    except CALL_ERRORS as error:
        return _no_socket(error)
    if us and us.app and app and app != us.app:
        return APP_TOKEN.problem(
            f"it is of another app ({app}) than SLACK_BOT_TOKEN ({us.app})", COPY_APP
        )
    return await _reach(client, str(answer.get("url") or ""))


def _no_socket(error: BaseException) -> CheckResult:
    meaning = translate_error(error)
    if meaning.code == "missing_scope":
        return APP_TOKEN.problem("it lacks the scope connections:write", COPY_APP)
    if isinstance(meaning, InvalidToken):
        return APP_TOKEN.problem(f"Slack refuses it ({meaning.code})", COPY_APP)
    return APP_TOKEN.problem(said(error), TRY_AGAIN)


async def _reach(client: AsyncWebClient, address: str) -> CheckResult:
    """Open a bare connection: a real one would be given the commands of people."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
    if client.proxy:
        return APP_TOKEN.ok("accepted; Socket Mode goes through the proxy, which was not tried")
    try:
        async with asyncio.timeout(CONNECTING):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()
        await writer.wait_closed()
    except OSError:
        return APP_TOKEN.problem(
            f"accepted, but {host}, port {port}, where Socket Mode is, cannot be reached",
            "Let the bot's machine connect there.",
        )
    return APP_TOKEN.ok("accepted; Socket Mode can be reached")
