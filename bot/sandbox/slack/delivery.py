"""Which way payloads go: signed HTTP when the app has a request URL, else Socket Mode."""

from typing import Any

from bot.sandbox.slack.ack import Ack
from bot.sandbox.slack.signed_http import SignedHttp
from bot.sandbox.slack.socket_mode import SocketMode
from bot.sandbox.slack.world import World

Json = dict[str, Any]


class Delivery:
    """Sends each payload once, by the transport that is set up, and tells the news."""

    def __init__(self, world: World, sockets: SocketMode, http: SignedHttp) -> None:
        self._world = world
        self._sockets = sockets
        self._http = http

    async def send(self, kind: str, payload: Json, **retry: object) -> Ack:
        """`kind`: slash_commands, interactive or events_api."""
        transport = self._http if self._http.request_url else self._sockets
        ack = await transport.send(kind, payload, **retry)
        shown = {"transport": kind, "type": payload.get("type", kind), "user": _who(payload)}
        self._world.news.tell("payload", **shown, ack=ack.as_json())
        return ack


def _who(payload: Json) -> object:
    user = payload.get("user") or {}
    return payload.get("user_id") or user.get("id")
