"""Builds the Web API clients: one shared session, a timeout, and no automatic retries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import ClientPayloadError, ClientSession, ClientTimeout, TCPConnector
from slack_sdk.web.async_client import AsyncWebClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import TraceConfig
    from slack_sdk.web.async_slack_response import AsyncSlackResponse

#: Seconds for one call. The SDK's default of 30 is longer than any trigger lives.
TIMEOUT = 10

#: Connections of a session; further calls wait for a free one. aiohttp uses connections in turn,
#: so those opened during a burst stay open while the bot is busy.
MAX_CONNECTIONS = 32


def new_session(traces: Sequence[TraceConfig] = ()) -> ClientSession:
    """Open a session that clients share; the caller closes it."""
    return ClientSession(
        connector=TCPConnector(limit=MAX_CONNECTIONS),
        # A client with a given session does not apply its own timeout.
        timeout=ClientTimeout(total=TIMEOUT),
        trace_configs=list(traces),
    )


class Client(AsyncWebClient):
    """Slack's client, which raises a client error for an answer that is not JSON."""

    async def api_call(self, *args: Any, **kwargs: Any) -> AsyncSlackResponse:  # noqa: ANN401 - as the SDK has it
        try:
            return await super().api_call(*args, **kwargs)
        except AttributeError as error:
            # The SDK keeps text/plain as a string and then reads "ok" from it.
            raise ClientPayloadError("the answer is not JSON") from error


def build_client(token: str | None, base_url: str, session: ClientSession) -> AsyncWebClient:
    """Build a Web API client without the SDK's retry handlers.

    Those repeat a call after a lost connection, also `chat.postMessage`, which would post twice.
    The outbox decides which calls are repeated.

    Args:
        token: `xoxb-…`, or None for calls that bring their own.
        base_url: such as `https://slack.com/api/`.
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
