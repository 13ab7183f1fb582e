"""HTTP routes of the demo's page: its files, its state as JSON, and its buttons."""

import json
import mimetypes
from collections.abc import Awaitable
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from aiohttp import web

from bot.app import StartError
from bot.demo.controller import Controller
from bot.demo.scenarios import MENU, SCENARIOS
from bot.sandbox.slack import App, User
from bot.sandbox.slack.guard import BANNER

#: Allows the page's own files only: no inline script or style, no other host, no frames.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

#: The role of each person, by user name.
ROLES = {
    "rina": "on call",
    "ada": "approver",
    "abe": "approver",
    "gus": "guest",
    "olga": "partner",
}

#: As in the app's manifest.
COMMAND = {
    "name": "/cancel-restore",
    "usage": "[CLUSTER] [JOB_ID] | list | help",
    "about": "Cancel a download of a MongoDB Atlas backup",
}


class Site:
    """The routes of the page."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._files = {file.name: file for file in files("bot.demo").joinpath("page").iterdir()}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.index),
            web.get("/page/{name}", self.asset),
            web.get("/_demo/state", self.state),
            web.post("/_demo/scenarios/{name}", self.scenario),
            web.post("/_demo/clear-faults", self.clear_faults),
            web.post("/_demo/bot/{action:kill|start}", self.bot),
        ]

    async def index(self, _request: web.Request) -> web.Response:
        return _file(self._files["index.html"])

    async def asset(self, request: web.Request) -> web.Response:
        """Serve one of the page's own files; the name is looked up, never used as a path."""
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound(text="The page has no such file.")
        return _file(file)

    async def state(self, _request: web.Request) -> web.Response:
        """Return what the page needs besides the fake Slack's own state."""
        return web.json_response(
            self._about() | {"demo": self._controller.state()}, headers=HEADERS
        )

    def _about(self) -> dict[str, Any]:
        space = self._controller.slack.workspace
        return {
            "sandbox": BANNER,
            "team": {"id": space.team.id, "name": space.team.name},
            "app": {"bot": space.app.bot_user, "name": space.app.name},
            "users": {u.id: _person(u, space.app) for u in space.users.values()},
            "channels": [
                {"id": c.id, "name": c.name, "kind": c.kind, "members": sorted(c.members)}
                | {"archived": c.is_archived, "shared": c.is_ext_shared}
                for c in space.channels.values()
            ],
            "groups": {g.id: g.handle for g in space.groups.values()},
            "command": COMMAND,
            "scenarios": {
                group: [scenario.shown for scenario in scenarios]
                for group, scenarios in MENU.items()
            },
            "calls": list(self._controller.call_log.entries),
        }

    async def scenario(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in SCENARIOS:
            raise web.HTTPNotFound(text="There is no such scenario.")
        return await self._answer(self._controller.start_scenario(name))

    async def clear_faults(self, _request: web.Request) -> web.Response:
        return await self._answer(self._controller.clear_faults())

    async def bot(self, request: web.Request) -> web.Response:
        kill = request.match_info["action"] == "kill"
        return await self._answer(
            self._controller.kill_bot() if kill else self._controller.start_bot()
        )

    async def _answer(self, work: Awaitable[None]) -> web.Response:
        try:
            await work
        except StartError as error:
            return _json({"ok": False, "message": str(error)}, status=503)
        return _json({"ok": True, "demo": self._controller.state()})


def _person(user: User, app: App) -> dict[str, str]:
    name = user.name if user.is_bot else user.name.capitalize()
    shown = app.name if user.id == app.bot_user else name
    return {"name": shown, "team": user.team_id, "role": ROLES.get(user.name, "")}


def _file(file: Traversable) -> web.Response:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    kind = "text/javascript" if file.name.endswith(".js") else kind
    charset = "utf-8" if kind.startswith("text/") else None
    return web.Response(body=file.read_bytes(), content_type=kind, charset=charset, headers=HEADERS)


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(text=json.dumps(body), status=status, headers=HEADERS)
