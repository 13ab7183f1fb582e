"""The server: Web API, Socket Mode, response URLs and control API on one loopback port."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from aiohttp import web

from bot.sandbox.slack.control import Control
from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.event_bus import EventStream
from bot.sandbox.slack.faults import Faults
from bot.sandbox.slack.guard import add_banner, own_origin_only
from bot.sandbox.slack.notifications import Notification
from bot.sandbox.slack.people.actions import People
from bot.sandbox.slack.people.responses import respond
from bot.sandbox.slack.people.visible_state import VisibleState
from bot.sandbox.slack.transport.socket_mode import SocketMode
from bot.sandbox.slack.web_api.arguments import json_object
from bot.sandbox.slack.web_api.handler import WebApi
from bot.sandbox.slack.workspace import Workspace
from bot.sandbox.slack.world import Call, Settings, World

T = TypeVar("T")


class FakeSlackServer:
    """A Slack on 127.0.0.1: `async with FakeSlackServer() as slack: …`.

    `people` acts; `state` is what people see; `sockets` cuts and refreshes connections; `faults`
    makes calls of the Web API fail.
    """

    def __init__(
        self,
        workspace: Workspace | None = None,
        *,
        port: int = 0,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.world = world = World(workspace or Workspace.example(), clock, settings or Settings())
        self.sockets = SocketMode(world)
        self.stream = EventStream(world.events)
        #: More routes, for a page.
        self.extra_routes: list[web.RouteDef] = []
        self.people = People(world, self.sockets)
        self.state = VisibleState(world)
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def workspace(self) -> Workspace:
        return self.world.workspace

    @property
    def faults(self) -> Faults:
        return self.world.faults

    @property
    def base_url(self) -> str:
        return self.world.base_url

    @property
    def api_url(self) -> str:
        """The base URL of the Web API; ends in `/api/`."""
        return f"{self.base_url}/api/"

    @property
    def bot_token(self) -> str:
        return self.workspace.app.bot_token

    @property
    def app_token(self) -> str:
        return self.workspace.app.app_token

    @property
    def calls(self) -> list[Call]:
        """Every call of the Web API, oldest first."""
        return self.world.calls

    def called(self, method: str) -> list[Call]:
        """Return the calls of one method."""
        return [call for call in self.calls if call.method == method]

    @property
    def notifications(self) -> list[Notification]:
        """Whom each post notified, oldest first."""
        return self.world.notifications.all

    @property
    def complaints(self) -> list[str]:
        """Violations of Slack's rules by the bot outside the Web API; should stay empty."""
        return self.world.complaints

    async def until(self, predicate: Callable[[], T], seconds: float = 20.0) -> T:
        """Wait until `predicate()` is true; it is evaluated again after each change.

        Raises:
            TimeoutError: it was still false after `seconds`.
        """
        return await self.world.events.until(predicate, seconds)

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        port = self._runner.addresses[0][1]
        self.world.base_url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stream.close()
        await self.sockets.cut(abruptly=False)
        if self._runner:
            await self._runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[own_origin_only])
        app.on_response_prepare.append(add_banner)
        app.router.add_route("*", "/api/{method}", WebApi(self.world).handle)
        app.router.add_get("/link/", self.sockets.handle)
        app.router.add_post("/{kind:commands|actions|app}/{team}/{token}", self._response_url)
        app.add_routes(self.extra_routes)
        app.router.add_get("/_sandbox/events", self.stream.handle)
        app.add_routes(Control(self.world, self.people, self.state).routes())
        return app

    async def _response_url(self, request: web.Request) -> web.Response:
        """A response URL: `ok` as text, or 404 when it is used up or expired."""
        try:
            place = self.world.triggers.use_response(request.match_info["token"])
        except ApiError as error:
            return web.json_response(error.as_json(), status=404)
        try:
            respond(self.world, place, await json_object(request))
        except ApiError as error:
            self.world.complain(f"The body for a response URL is not valid: {error}")
            return web.json_response(error.as_json(), status=400)
        return web.Response(text="ok")
