"""Socket Mode: two connections that the bot opens, so that one is there while the other is not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from bot.slack.receivers.base import AWAY
from bot.slack.receivers.connection import Connection, connect
from bot.slack.receivers.connection_keeper import ConnectionKeeper
from bot.slack.receivers.envelopes import EnvelopeDispatcher, Refuse, nothing_is_wrong
from bot.tasks import BackgroundTasks

if TYPE_CHECKING:
    from slack_sdk.socket_mode.request import SocketModeRequest
    from slack_sdk.web.async_client import AsyncWebClient

    from bot.slack.receivers.base import App

#: How many connections the bot keeps; Slack allows an app ten, over all replicas.
LINES = 2

#: Seconds between opening the first and the second, so that Slack, which refreshes a connection
#: after some hours, does not refresh both at once. Nobody waits while the first one is in trouble.
STAGGER = 15.0

#: Seconds between the watchdog's rounds.
ROUND = 1.0

NO_ANSWER = "check SLACK_APP_TOKEN and the network."

log = structlog.get_logger(__name__)


class SocketModeReceiver:
    """Socket Mode, with as many connections as it takes.

    Slack sends each envelope over any one of them. The ack goes back the way the envelope came,
    or over another connection where that way is closed.

    Args:
        app_token: `xapp-…`.
        client: the Web API, with a session; the app token is used for the one call that needs it.
        refuse: says what is wrong with an envelope, if anything is.
        stagger: seconds between opening the first connection and the second.
    """

    def __init__(
        self,
        app_token: str,
        client: AsyncWebClient,
        *,
        refuse: Refuse = nothing_is_wrong,
        stagger: float = STAGGER,
    ) -> None:
        self._app_token = app_token
        self._refuse = refuse
        self._client = client
        self._stagger = stagger
        self._envelopes: EnvelopeDispatcher | None = None
        self._answering = BackgroundTasks()
        self._housework = BackgroundTasks()
        self._connections: set[Connection] = set()
        self.lines = [
            ConnectionKeeper(str(n + 1), self._dial, self._housework) for n in range(LINES)
        ]
        self._watching: asyncio.Task[None] | None = None

    @property
    def live(self) -> int:
        """How many connections envelopes can come by."""
        return sum(connection.live for connection in self._connections)

    def open(self, app: App) -> None:
        self._envelopes = EnvelopeDispatcher(app, self._refuse)
        self._watching = self._housework.start(self._watch(), "watchdog of Socket Mode")

    async def trouble(self) -> str | None:
        if self._watching is None:
            return AWAY
        if self.live:
            return None
        said = [line.trouble.sentence for line in self.lines if line.trouble]
        return " ".join(["Socket Mode is not connected:", *(said[:1] or [NO_ANSWER])])

    async def stop(self, seconds: float) -> None:
        """Close one connection after another, each once what came by it is answered.

        What reaches a connection after our goodbye is answered over one that is still open. After
        the goodbye on the last one it gets no ack, so that Slack gives it to another replica.
        """
        if self._watching is None:
            return
        self._watching.cancel()
        self._watching = None
        await asyncio.gather(*(line.stop() for line in self.lines))
        # Those that Slack ends anyway go first.
        for connection in sorted(self._connections, key=lambda each: not each.leaving.is_set()):
            await connection.answering.idle(seconds / len(self._connections))
            await connection.close()
        await self._answering.drain(0)
        await self._housework.drain(1)

    async def _watch(self) -> None:
        for line in self.lines:
            line.start()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._stagger):
                    await line.shaken.wait()
        while True:
            for line in self.lines:
                line.look_after()
            await asyncio.sleep(ROUND)

    async def _dial(self) -> Connection:
        connection = await connect(self._client, self._app_token, self._take)
        self._connections = {c for c in self._connections if c.can_answer} | {connection}
        return connection

    def _take(self, envelope: SocketModeRequest, connection: Connection) -> None:
        if not any(way.can_answer for way in (connection, *self._connections)):
            log.info("left without an ack, for another replica", envelope=envelope.envelope_id)
            return
        connection.answering.begin()
        answering = self._answering.start(self._answer(envelope, connection), "envelope")
        answering.add_done_callback(lambda _: connection.answering.end())

    async def _answer(self, envelope: SocketModeRequest, connection: Connection) -> None:
        if self._envelopes is None:
            return
        ack = await self._envelopes.answer(envelope)
        if ack is None:
            log.warning("no ack for what the app could not answer", kind=envelope.type)
        elif not await self._send(ack, connection):
            log.warning("an ack could not be sent: Slack may send this again", kind=envelope.type)

    async def _send(self, ack: str, connection: Connection) -> bool:
        others = self._connections - {connection}
        for way in (connection, *others):
            if way.can_answer:
                with suppress(ConnectionError):
                    await way.send(ack)
                    return True
        return False
