"""Commands during refreshed, closed or half-open connections, compared with Bolt's handler."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import structlog
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult

from bot.sandbox.slack import FakeSlackServer, Settings
from bot.slack.client import SlackClient, new_session
from bot.slack.receivers.socket_mode import SocketModeReceiver
from bot.timings import DEFAULT_TIMINGS
from tests.support.stream import streaming
from tests.tools.reporting.report import Goal, Row, Table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.sandbox.slack.transport.socket_mode import SocketMode
    from tests.support.stream import Stream
    from tests.tools.reporting.report import Scale

    Client: TypeAlias = Callable[
        [FakeSlackServer, AsyncWebClient, AsyncApp], AbstractAsyncContextManager[None]
    ]
    Event: TypeAlias = Callable[[SocketMode], Awaitable[None]]

#: Seconds between two commands.
INTERVAL = 0.05

#: Seconds after the loss of all connections. The bot waits before it gives a silent one up, and
#: before it opens another: Slack counts each one that is lost.
CONNECTED_WITHIN = 15.0

#: Seconds that each call and each new connection takes, as over a good network.
LATENCY = 0.1

#: Seconds from a disconnect frame to the end of the connection.
GRACE = 3.0

OURS, BOLT, BOLT_SHORT = "this bot", "Bolt", "Bolt, ping 3 s"

#: By the seconds for which Slack counts a connection that was cut, and sends commands to it.
TITLES = {
    0.0: "Reconnects, where Slack drops a cut connection at once",
    180.0: "Reconnects, where Slack counts a cut connection for minutes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One client through one event."""

    event: str
    client: str
    stream: Stream


async def measure(scale: Scale) -> list[Table]:
    """Run every event with every client at the same time, each with its own fake Slack."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    seconds = scale.pick(5.0, 35.0)
    return [await _table(counted, seconds) for counted in scale.pick((0.0,), (0.0, 180.0))]


async def _table(counted: float, seconds: float) -> Table:
    settings = Settings(lost_envelopes="drop", latency=LATENCY, cut_connection_seconds=counted)
    runs = await asyncio.gather(
        *(_run(event, client, settings, seconds) for event in EVENTS for client in CLIENTS)
    )
    return Table(
        title=TITLES[counted],
        first="event: client",
        columns=["commands", "unanswered", "longest gap s", "slowest ack s"],
        rows=[Row(f"{run.event}: {run.client}", _cells(run.stream)) for run in runs],
        goals=_goals(runs),
        notes=[
            f"One command every {INTERVAL:g} s for {seconds:g} s; the event comes after 1 s.",
            f"Each call to Slack and each new connection takes {LATENCY:g} s.",
            "Unanswered: no ack within Slack's 3 s. Gap: the longest time without an ack.",
            "The bot keeps two connections, Bolt's handler one.",
            "Slack sends a share of the commands to each connection that it counts.",
        ],
    )


def _cells(stream: Stream) -> tuple[int, int, float, float]:
    return len(stream.acks), stream.unanswered, stream.gap, stream.slowest


def _goals(runs: list[Run]) -> list[Goal]:
    bot_runs = [run for run in runs if run.client == OURS]
    refresh = sum(run.stream.unanswered for run in bot_runs if run.event == REFRESH)
    gap = max(run.stream.gap for run in bot_runs)
    return [
        Goal.at_most("unanswered on a refresh", refresh, 0),
        Goal.at_most("longest gap after one loss (s)", gap, CONNECTED_WITHIN),
    ]


async def _run(event: str, client: str, settings: Settings, seconds: float) -> Run:
    async with FakeSlackServer(settings=settings) as slack, new_session() as session:
        api = SlackClient(slack.bot_token, slack.api_url, session)
        async with (
            CLIENTS[client](slack, api, _app(api)),
            streaming(slack, every=INTERVAL) as stream,
        ):
            await asyncio.sleep(1)
            await EVENTS[event](slack.sockets)
            await asyncio.sleep(seconds - 1)
    return Run(event=event, client=client, stream=stream)


def _app(client: AsyncWebClient) -> AsyncApp:
    """Build an app that answers immediately, without calling `auth.test`."""

    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id=None, bot_token=client.token)

    own = SlackClient(None, client.base_url, client.session)
    app = AsyncApp(client=own, authorize=authorize, process_before_response=True)

    @app.command("/cancel-restore")
    async def command(ack: AsyncAck) -> None:
        await ack("Hello.")

    return app


@asynccontextmanager
async def _bot_client(
    slack: FakeSlackServer, client: AsyncWebClient, app: AsyncApp
) -> AsyncIterator[None]:
    receiver = SocketModeReceiver(
        slack.app_token, client, replace(DEFAULT_TIMINGS, connection_stagger=0)
    )
    receiver.start(app.async_dispatch)
    try:
        await slack.until(lambda: slack.sockets.connections == 2)
        yield
    finally:
        await receiver.stop(1)


def _bolt_client(ping: float) -> Client:
    @asynccontextmanager
    async def opened(
        slack: FakeSlackServer, client: AsyncWebClient, app: AsyncApp
    ) -> AsyncIterator[None]:
        handler = AsyncSocketModeHandler(
            app, slack.app_token, web_client=client, ping_interval=ping
        )
        await handler.connect_async()  # type: ignore[no-untyped-call]  # the SDK's
        try:
            yield
        finally:
            await handler.close_async()  # type: ignore[no-untyped-call]  # the SDK's

    return opened


CLIENTS: Mapping[str, Client] = {
    OURS: _bot_client,
    BOLT: _bolt_client(10),
    BOLT_SHORT: _bolt_client(3),
}


async def _half_open(sockets: SocketMode, count: int | None = None) -> None:
    sockets.half_open(count)


REFRESH = "refresh of all"
EVENTS: Mapping[str, Event] = {
    REFRESH: lambda sockets: sockets.disconnect("refresh_requested", grace=GRACE),
    "one cut": lambda sockets: sockets.cut(count=1),
    "all cut": lambda sockets: sockets.cut(),
    "one half-open": lambda sockets: _half_open(sockets, 1),
    "all half-open": _half_open,
}
