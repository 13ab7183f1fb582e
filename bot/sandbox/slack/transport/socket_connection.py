"""One Socket Mode connection of the app, with the faults that tests inject."""

import asyncio
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

Json = dict[str, Any]


class Connection:
    """The server's side of one connection.

    `ignores_input`: frames of the app are ignored, including acks and pings · `is_cut`: frames to
    the app are lost · `closing`: accepts no further envelopes · `unanswered`: the envelopes that
    were sent here and have no ack yet, by their ids.
    """

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._socket = socket
        self._transport = transport
        self._ending: asyncio.Task[None] | None = None
        self.ignores_input = False
        self.is_cut = False
        self.closing = False
        self.unanswered: dict[str, Json] = {}

    async def send(self, frame: Json) -> None:
        """Send a frame; raises ConnectionError when the connection is closed."""
        if not self.is_cut:
            await self._socket.send_json(frame)

    async def listen(self) -> str | None:
        """Return the next text frame, or None at the end; answers pings in the meantime."""
        async for message in self._socket:
            if self.ignores_input:
                continue
            if message.type == WSMsgType.PING:
                await self._pong(message.data)
            elif message.type == WSMsgType.TEXT:
                return str(message.data)
        return None

    async def _pong(self, data: bytes) -> None:
        try:
            await self._socket.pong(data)
        except ConnectionError:
            return  # the app disconnected; the next read ends the connection

    def close_after(self, seconds: float) -> None:
        """Close after a delay, as Slack does with a connection that it refreshes."""
        self._ending = self._ending or asyncio.create_task(self._end(seconds))

    async def _end(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.closing = True
        try:
            # Only the first half of a close, so that acks in flight are still received.
            code = WSCloseCode.OK.to_bytes(2, "big")
            await self._socket.send_frame(code, WSMsgType.CLOSE)
        except ConnectionError:
            return  # the app closed first

    async def close(self, *, abruptly: bool) -> None:
        """Close now: abort the TCP connection, or (not abruptly) perform the closing handshake."""
        self.closing = True
        if abruptly and self._transport is not None:
            self._transport.abort()
        else:
            await self._socket.close()

    def forget(self) -> None:
        """Mark the connection as ended, and cancel a delayed close."""
        self.closing = True
        if self._ending:
            self._ending.cancel()
