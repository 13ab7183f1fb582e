"""One Socket Mode connection of the app's, with its ways of going wrong."""

import asyncio
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

Json = dict[str, Any]


class Link:
    """One connection, as Slack has it.

    `deaf`: nothing that the app sends is heard, acks and pings included · `mute`: nothing that is
    sent to the app arrives · `closing`: takes no envelope any more · `unanswered`: the envelopes
    that went this way and wait for an ack, by their ids.
    """

    def __init__(self, socket: web.WebSocketResponse, wire: asyncio.Transport | None) -> None:
        self._socket = socket
        self._wire = wire
        self._ending: asyncio.Task[None] | None = None
        self.deaf = False
        self.mute = False
        self.closing = False
        self.unanswered: dict[str, Json] = {}

    async def send(self, frame: Json) -> None:
        """Raises ConnectionError when the connection is known to be gone."""
        if not self.mute:
            await self._socket.send_json(frame)

    async def listen(self) -> str | None:
        """The next text that the app sends; None at the end. Pings are answered meanwhile."""
        async for message in self._socket:
            if self.deaf:
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
            return  # the app went away meanwhile: the next frame says so

    def end_in(self, seconds: float) -> None:
        """Ends after a while in good order, as Slack does with a connection that it refreshes."""
        self._ending = self._ending or asyncio.create_task(self._end(seconds))

    async def _end(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self.closing = True
        try:
            # Only the first half of a close: the acks that are under way are still heard.
            code = WSCloseCode.OK.to_bytes(2, "big")
            await self._socket.send_frame(code, WSMsgType.CLOSE)
        except ConnectionError:
            return  # the app was faster

    async def close(self, *, abruptly: bool) -> None:
        """Ends it now: the wire is cut, or (not abruptly) the connection closed in good order."""
        self.closing = True
        if abruptly and self._wire is not None:
            self._wire.abort()
        else:
            await self._socket.close()

    def forget(self) -> None:
        """It is over: nothing is to be done with it any more."""
        self.closing = True
        if self._ending:
            self._ending.cancel()
