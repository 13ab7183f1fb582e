"""The app's end of Socket Mode: connects, and returns each frame."""

import json
from typing import Any, Self

import aiohttp

from bot.sandbox.slack import FakeSlackServer

Json = dict[str, Any]


class Wire:
    """One connection; `async with Wire(slack) as wire: …`."""

    def __init__(self, slack: FakeSlackServer) -> None:
        self._slack = slack
        self._session = aiohttp.ClientSession()
        self._socket: aiohttp.ClientWebSocketResponse

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._slack.app_token}"}
        url = self._slack.api_url + "apps.connections.open"
        answer = await (await self._session.post(url, headers=headers)).json()
        # A frozen server answers no close frame, so the wait for one is short.
        timeout = aiohttp.ClientWSTimeout(ws_close=0.5)
        self._socket = await self._session.ws_connect(
            answer["url"], timeout=timeout, autoclose=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        await self._session.close()

    async def close(self) -> None:
        await self._socket.close()

    async def receive(self) -> Json:
        frame: Json = json.loads(await self._socket.receive_str(timeout=5))
        return frame
