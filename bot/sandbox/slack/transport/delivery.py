"""Sends payloads by signed HTTP when the app has a request URL, else by Socket Mode."""

from typing import Any

from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.transport.signed_http import SignedHttp
from bot.sandbox.slack.transport.socket_mode import SocketMode
from bot.sandbox.slack.world import World

Json = dict[str, Any]


class Delivery:
    """Sends each payload once over the configured transport, and publishes events."""

    def __init__(self, world: World, sockets: SocketMode, http: SignedHttp) -> None:
        self._world = world
        self._sockets = sockets
        self._http = http

    async def send(self, kind: str, payload: Json, **retry: object) -> Ack:
        """`kind`: slash_commands, interactive or events_api."""
        shown = {"transport": kind, "type": payload.get("type", kind), "user": _who(payload)}
        self._world.events.publish("action", **shown, what=_what(payload))
        transport = self._http if self._http.request_url else self._sockets
        ack = await transport.send(kind, payload, **retry)
        self._world.events.publish("payload", **shown, ack=ack.as_json())
        return ack

    async def redeliver(self) -> Ack:
        """Send the last payload of Socket Mode again, marked as a retry."""
        return await self._sockets.redeliver()


def _who(payload: Json) -> object:
    user, event = payload.get("user") or {}, payload.get("event") or {}
    return payload.get("user_id") or user.get("id") or event.get("user")


def _what(payload: Json) -> str:
    """Return the typed line, or the label of the button or option."""
    if "command" in payload:
        return f"{payload['command']} {payload['text']}".strip()
    action = (payload.get("actions") or [{}])[0]
    submit = payload.get("view", {}).get("submit") if payload["type"] == "view_submission" else None
    picked = (action.get("selected_option") or {}).get("text")
    label = action.get("text") or picked or submit or {}
    return str(label.get("text", ""))
