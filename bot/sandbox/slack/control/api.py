"""`/_sandbox/`: actions and visible state as JSON, for the page of the demo."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bot.sandbox.slack.control.arguments import check_arguments, parse_object, resolve_views
from bot.sandbox.slack.errors import CannotDo
from bot.sandbox.slack.guard import BANNER, Handler
from bot.sandbox.slack.people.actions import People
from bot.sandbox.slack.people.visible_state import VisibleState
from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.transport.socket_mode import SocketMode
from bot.sandbox.slack.world import World

Json = dict[str, Any]
_ACTIONS = (
    *("types", "says", "clicks", "chooses", "uses_shortcut", "opens_home"),
    *("fills", "submits", "closes"),
)


class Control:
    """The control API; every response is JSON with `ok`."""

    def __init__(
        self,
        world: World,
        people: People,
        state: VisibleState,
        sockets: SocketMode,
    ) -> None:
        self._world = world
        self._people = people
        self._state = state
        self._sockets = sockets

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sandbox/state", self.state),
            web.post("/_sandbox/actions/{name}", _answering(self.action)),
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
        view = self._state.view_of(user)
        return {
            "name": self._world.workspace.user(user).name,
            "ephemerals": self._state.ephemerals(user),
            "views": [view] if view else [],
            "errors": self._state.errors_of(user),
            "home": self._state.home_of(user),
        }

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
