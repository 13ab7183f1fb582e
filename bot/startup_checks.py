"""What can stand in the way of a start: asked of every service, and told all at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from bot.slack.errors import CALL_ERRORS, BadToken, meaning_of
from bot.slack.identity import read_identity
from bot.storage.database import cause_of
from bot.storage.migrate import SchemaError, ensure_current
from bot.web.server import WebError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.settings import SlackSettings
    from bot.slack.identity import Identity

#: Seconds between tries to reach a Slack that does not answer.
SLACK_PAUSE = 2.0

#: Seconds that Slack gets for its part of a refusal that is certain already.
LAST_WORD = 5.0

REFUSES_BOT = (
    "Slack refuses SLACK_BOT_TOKEN ({code}): copy the Bot User OAuth Token again, in Slack's app "
    "under OAuth & Permissions."
)
REFUSES_APP = (
    "Slack refuses SLACK_APP_TOKEN ({code}): copy the App-Level Token again, in Slack's app under "
    "Basic Information; it needs the scope connections:write."
)
#: What else to check, by the kind of database.
LOOK_AT = {
    "sqlite": ", and that its folder is there and the bot's user may write in it",
    "postgresql": ", that the server runs, and that this account may log in and owns the tables",
}
NO_SLACK = "Slack does not answer: check SLACK_API_URL and the network."

log = structlog.get_logger(__name__)


class StartError(Exception):
    """The bot could not start; each line says why, and what to do now."""


async def run_steps(*steps: Callable[[], Awaitable[object]]) -> list[str]:
    """Take every step, one after the other, and return why those that failed did."""
    why = []
    for step in steps:
        try:
            await step()
        except (StartError, WebError) as error:
            why.append(str(error))
    return why


async def migrate(database_url: str) -> None:
    """Bring the schema up; raises `StartError` when the database cannot be opened."""
    try:
        await ensure_current(database_url)
    except SchemaError as error:
        raise StartError(f"The database of DATABASE_URL cannot be used. {error}") from error
    except (SQLAlchemyError, OSError) as error:
        look = LOOK_AT[make_url(database_url).get_backend_name()]
        raise StartError(
            f"The database cannot be opened ({cause_of(error)}): check DATABASE_URL{look}."
        ) from error


async def authenticate_slack(client: AsyncWebClient, slack: SlackSettings) -> Identity:
    """Ask Slack who we are until it answers; raises `StartError` for each token it refuses."""
    meeting = asyncio.ensure_future(who_we_are(client))
    refused = await run_steps(lambda: meeting, lambda: check_app_token(client, slack))
    if refused:
        raise StartError("\n".join(refused))
    return meeting.result()


async def who_we_are(client: AsyncWebClient) -> Identity:
    """Ask Slack until it answers; raises `StartError` when it refuses the token."""
    while True:
        try:
            return await read_identity(client)
        except CALL_ERRORS as error:
            trouble = meaning_of(error)
            if isinstance(trouble, BadToken):
                raise StartError(REFUSES_BOT.format(code=trouble.code)) from error
            log.warning("Slack is not reached yet", why=trouble.sentence, what_to_do=NO_SLACK)
        await asyncio.sleep(SLACK_PAUSE)


async def check_app_token(client: AsyncWebClient, slack: SlackSettings) -> None:
    """Refuse at once what would only ever be refused; raises `StartError`."""
    if slack.app_token is None:
        return
    try:
        await client.apps_connections_open(app_token=slack.app_token.get_secret_value())
    except CALL_ERRORS as error:
        trouble = meaning_of(error)
        if isinstance(trouble, BadToken):
            raise StartError(REFUSES_APP.format(code=trouble.code)) from error


async def collect_slack_errors(meeting: asyncio.Task[Identity]) -> list[str]:
    """Return what Slack refuses, where the start has failed already."""
    done, _ = await asyncio.wait({meeting}, timeout=LAST_WORD)
    return await run_steps(lambda: meeting) if done else [NO_SLACK]
