"""`/_sandbox/`: actions and visible state as JSON, for the page of the demo."""

from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from bot.sandbox.slack.errors import CannotDo
from bot.sandbox.slack.people.actions import People
from bot.sandbox.slack.people.visible_state import VisibleState
from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.world import World

Json = dict[str, Any]
_ACTIONS = ("types", "clicks", "submits", "closes")


class Control:
    """The control API; every response is JSON with `ok`."""

    def __init__(self, world: World, people: People, state: VisibleState) -> None:
        self._world = world
        self._people = people
        self._state = state

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sandbox/state", self.state),
            web.post("/_sandbox/actions/{name}", self.action),
        ]

    async def state(self, _request: web.Request) -> web.Response:
        """Return the visible state, by channel and by person."""
        space = self._world.workspace
        return web.json_response(
            {
                "ok": True,
                "channels": {c: self._state.messages(c) for c in space.channels},
                "people": {u: self._person(u) for u in space.users},
            }
        )

    def _person(self, user: str) -> Json:
        return {"ephemerals": self._state.ephemerals(user), "view": self._state.view_of(user)}

    async def action(self, request: web.Request) -> web.Response:
        """Run one action; the body has its arguments: `{"user": "rina", "channel": "#ops", …}`.

        What Slack's client does not allow becomes a 400 with its sentence.
        """
        name = request.match_info["name"]
        if name not in _ACTIONS:
            raise web.HTTPNotFound
        try:
            done = getattr(self._people, name)(**await request.json())
            result = await done if isinstance(done, Awaitable) else done
        except CannotDo as error:
            return web.json_response({"ok": False, "message": str(error)}, status=400)
        shown = result.as_json() if isinstance(result, Ack) else {"ok": True, "result": result}
        return web.json_response(shown)
