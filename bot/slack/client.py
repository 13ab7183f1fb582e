"""Builds the Web API clients: one session, a time limit, no repeating behind our back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import ClientPayloadError, ClientSession, ClientTimeout, TCPConnector
from slack_sdk.web.async_client import AsyncWebClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import TraceConfig
    from slack_sdk.web.async_slack_response import AsyncSlackResponse

#: Seconds for one call; the SDK's own 30 outlive every trigger and every reader's patience.
TIMEOUT = 10

#: Calls at once; more wait for a free connection. aiohttp uses connections in turn, so those of a
#: rush stay as long as the bot is busy.
CONNECTIONS = 32


def new_session(traces: Sequence[TraceConfig] = ()) -> ClientSession:
    """Open a session that clients may share; close it when the bot stops."""
    return ClientSession(
        connector=TCPConnector(limit=CONNECTIONS),
        # A client that is given a session never applies its own time limit to it.
        timeout=ClientTimeout(total=TIMEOUT),
        trace_configs=list(traces),
    )


class Client(AsyncWebClient):
    """Slack's own client, which takes a proxy's page for what it is: no answer of Slack's."""

    async def api_call(self, *args: Any, **kwargs: Any) -> AsyncSlackResponse:  # noqa: ANN401 - as the SDK has it
        try:
            return await super().api_call(*args, **kwargs)
        except AttributeError as error:
            # The SDK reads text/plain as an answer, and then looks for "ok" in the text.
            raise ClientPayloadError("the answer is not JSON") from error


def build_client(token: str | None, base_url: str, session: ClientSession) -> AsyncWebClient:
    """Build a Web API client.

    The SDK's default handlers repeat a call whose connection broke, `chat.postMessage` included:
    that would be two messages. Who may be repeated, and when, the outbox decides.

    Args:
        token: `xoxb-…`, or None for calls that bring their own.
        base_url: the Web API's address, such as `https://slack.com/api/`.
        session: from `new_session`.
    """
    return Client(
        token=token,
        base_url=base_url if base_url.endswith("/") else f"{base_url}/",
        timeout=TIMEOUT,
        session=session,
        retry_handlers=[],
    )


def without_token(client: AsyncWebClient) -> AsyncWebClient:
    """Copy a client without its token, for Bolt, which gets the token from `authorize`."""
    return AsyncWebClient(
        base_url=client.base_url,
        timeout=client.timeout,
        session=client.session,
        retry_handlers=[],
    )
