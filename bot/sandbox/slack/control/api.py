"""`/_sandbox/`: actions, visible state and faults as JSON, for other processes."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web

from bot.sandbox.slack.control.arguments import check_arguments, parse_object, resolve_views
from bot.sandbox.slack.errors import CannotDo
from bot.sandbox.slack.faults import Fault
from bot.sandbox.slack.guard import BANNER, Handler
from bot.sandbox.slack.people.actions import People
from bot.sandbox.slack.people.visible_state import VisibleState
from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.transport.signed_http import SignedHttp
from bot.sandbox.slack.transport.socket_mode import SocketMode
from bot.sandbox.slack.world import World

Json = dict[str, Any]
_ACTIONS = (
    *("types", "says", "clicks", "chooses", "uses_shortcut", "opens_home"),
    *("fills", "submits", "closes", "suggests"),
)


class Control:
    """The control API; every response is JSON with `ok`."""

    def __init__(
        self,
        world: World,
        people: People,
        state: VisibleState,
        sockets: SocketMode,
        http: SignedHttp,
    ) -> None:
        self._world = world
        self._people = people
        self._state = state
        self._sockets = sockets
        self._http = http

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sandbox/state", self.state),
            web.get("/_sandbox/calls", self.calls),
            web.post("/_sandbox/actions/{name}", _answering(self.action)),
            web.post("/_sandbox/faults", _answering(self.add_fault)),
            web.delete("/_sandbox/faults", self.clear_faults),
            web.post("/_sandbox/sockets", _answering(self.sockets)),
            web.post("/_sandbox/request_url", _answering(self.request_url)),
        ]

    async def state(self, _request: web.Request) -> web.Response:
        """Return the visible state, by channel and by person."""
        space = self._world.workspace
        return web.json_response(
            {
                "ok": True,
                "sandbox": BANNER,
                "connections": self._sockets.connections,
                "channels": {c: self._state.messages(c) for c in space.channels},
                "people": {u: self._person(u) for u in space.users},
                "groups": {g.id: g.users for g in space.groups.values()},
                "complaints": self._world.complaints,
            }
        )

    def _person(self, user: str) -> Json:
        return {
            "name": self._world.workspace.user(user).name,
            "ephemerals": self._state.ephemerals(user),
            "views": self._state.views_of(user),
            "errors": self._state.errors_of(user),
            "home": self._state.home_of(user),
        }

    async def calls(self, _request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "calls": [asdict(c) for c in self._world.calls]})

    async def action(self, request: web.Request, body: Json) -> Json:
        """Run one action; the body has its arguments: `{"user": "rina", "channel": "#ops", …}`.

        A view may be given by its id.
        """
        name = request.match_info["name"]
        if name not in _ACTIONS:
            raise CannotDo(f"Unknown action {name} (known: {', '.join(_ACTIONS)}).")
        action = getattr(self._people, name)
        done = action(**check_arguments(name, action, resolve_views(self._world, body)))
        result = await done if isinstance(done, Awaitable) else done
        return result.as_json() if isinstance(result, Ack) else {"ok": True, "result": result}

    async def add_fault(self, _request: web.Request, body: Json) -> Json:
        """`{"method": "chat.postMessage", "kind": "delay", "seconds": 4, "times": 1}`."""
        fields = dict(body)
        method, times = fields.pop("method", "*"), fields.pop("times", 1)
        if not isinstance(method, str) or not isinstance(times, int):
            raise CannotDo("A fault: method must be a text, and times a whole number.")
        self._world.faults.add(method, _fault(fields), times)
        return {"ok": True}

    async def clear_faults(self, _request: web.Request) -> web.Response:
        self._world.faults.clear()
        return web.json_response({"ok": True})

    async def sockets(self, _request: web.Request, body: Json) -> Json:
        """`{"do": "cut"}`, `{"do": "disconnect", "reason": "warning"}`, `{"do": "half_open"}`.

        Also `redeliver` and `enable`; `"count": 1` selects the oldest connection.
        """
        do, count = body.get("do"), body.get("count")
        if not isinstance(count, int | None):
            raise CannotDo("count must be a whole number.")
        if do == "redeliver":
            return (await self._people.redelivers()).as_json()
        if do == "cut":
            await self._sockets.cut(abruptly=bool(body.get("abruptly", True)), count=count)
        elif do == "disconnect":
            await self._sockets.disconnect(body.get("reason", "refresh_requested"), count)
        elif do == "half_open":
            self._sockets.half_open(count)
        elif do == "enable":
            self._sockets.enabled = True
        else:
            raise CannotDo("do must be cut, disconnect, half_open, enable or redeliver.")
        return {"ok": True}

    async def request_url(self, _request: web.Request, body: Json) -> Json:
        """`{"url": "http://127.0.0.1:3000/slack/events"}`, or null for Socket Mode."""
        url = body.get("url")
        if not isinstance(url, str | None):
            raise CannotDo("url must be a text, or null for Socket Mode.")
        self._http.request_url = url
        return {"ok": True}


def _fault(fields: Json) -> Fault:
    try:
        return Fault(**check_arguments("A fault", Fault, fields))
    except ValueError as error:
        raise CannotDo(str(error)) from None


def _answering(work: Callable[[web.Request, Json], Awaitable[Json]]) -> Handler:
    """Parse a JSON object and respond with JSON; `CannotDo` becomes a 400 with its sentence."""

    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            body = parse_object(await request.text())
            return web.json_response(await work(request, body))
        except CannotDo as error:
            answer = {"ok": False, "error": type(error).__name__, "message": str(error)}
            return web.json_response(answer, status=400)

    return handler
