"""Which way payloads go: signed HTTP when the app has a request URL, else Socket Mode."""

from typing import Any

from bot.sandbox.slack.ack import Ack
from bot.sandbox.slack.errors import CannotDo
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
        self._last: tuple[str, Json] | None = None

    async def send(self, kind: str, payload: Json, **retry: object) -> Ack:
        """`kind`: slash_commands, interactive or events_api."""
        self._last = (kind, payload)
        shown = {"transport": kind, "type": payload.get("type", kind), "user": _who(payload)}
        self._world.news.tell("act", **shown, what=_what(payload))
        transport = self._http if self._http.request_url else self._sockets
        ack = await transport.send(kind, payload, **retry)
        self._world.news.tell("payload", **shown, ack=ack.as_json())
        return ack

    async def redeliver(self, reason: str = "timeout") -> Ack:
        """The last payload once more, marked as a retry the way its transport marks them.

        Raises:
            CannotDo: nothing was sent yet.
        """
        if self._last is None:
            raise CannotDo("Nothing was sent that could come again.")
        if not self._http.request_url:
            return await self._sockets.redeliver(reason=reason)
        return await self._http.send(*self._last, retry_attempt=1, retry_reason=reason)


def _who(payload: Json) -> object:
    user = payload.get("user") or {}
    return payload.get("user_id") or user.get("id")


def _what(payload: Json) -> str:
    """What the person used: the line they typed, the label of a button or of an option."""
    if "command" in payload:
        return f"{payload['command']} {payload['text']}".strip()
    action = (payload.get("actions") or [{}])[0]
    submit = payload.get("view", {}).get("submit") if payload["type"] == "view_submission" else None
    picked = (action.get("selected_option") or {}).get("text")
    label = action.get("text") or picked or submit or {}
    return str(label.get("text", ""))
