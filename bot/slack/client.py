"""Slack's Web API client of the SDK, with one session, and the identity of the bot."""

from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.slack.errors import CALL_ERRORS, SlackUnavailable, translate_error

MAX_CONNECTIONS = 32
TIMEOUT = 8.0  #: seconds for one call


def new_session() -> ClientSession:
    """Open a session that clients share; the caller closes it."""
    # A client with a given session does not apply its own timeout.
    return ClientSession(
        connector=TCPConnector(limit=MAX_CONNECTIONS), timeout=ClientTimeout(total=TIMEOUT)
    )


class SlackClient(AsyncWebClient):
    """Slack's client, which raises `SlackError`.

    It has none of the SDK's retry handlers. Those repeat a call after a lost connection, also
    `chat.postMessage`, which would post twice. The outbox decides which calls are repeated.
    """

    def __init__(self, token: str, base_url: str, session: ClientSession) -> None:
        super().__init__(
            token=token, base_url=base_url, timeout=int(TIMEOUT), session=session, retry_handlers=[]
        )

    async def api_call(self, api_method: str, **kwargs: Any) -> AsyncSlackResponse:  # noqa: ANN401 - as the SDK has it
        try:
            return await super().api_call(api_method, **kwargs)
        except CALL_ERRORS as error:
            raise translate_error(error) from error
        except AttributeError as error:
            # The SDK keeps text/plain as a string and then reads "ok" from it; all else is a bug.
            if not isinstance(error.obj, str):
                raise
            raise SlackUnavailable from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The bot's own ids, by `auth.test`."""

    team: str  #: the workspace in which the bot is installed (`T…`)
    user: str  #: the bot's user id
    scopes: frozenset[str] = frozenset()  #: of the bot token; empty where Slack names none

    @classmethod
    def of(cls, answer: AsyncSlackResponse) -> "Identity":
        scopes = str(answer.headers.get("x-oauth-scopes", "")).replace(",", " ").split()
        return cls(
            team=str(answer["team_id"]), user=str(answer["user_id"]), scopes=frozenset(scopes)
        )

    @property
    def reads_emails(self) -> bool:
        return "users:read.email" in self.scopes
