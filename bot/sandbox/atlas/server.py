"""The server of the stand-in: it listens, reads, answers, and keeps the record of the wire."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from aiohttp import web

from bot.sandbox.atlas.answers import SANDBOX_HEADERS, Answer
from bot.sandbox.atlas.asks import Ask
from bot.sandbox.atlas.behaviour import Behaviour
from bot.sandbox.atlas.clock import Clock, wall_clock
from bot.sandbox.atlas.control import Control
from bot.sandbox.atlas.digest import Gatekeeper
from bot.sandbox.atlas.exchange import ConnectionCut, Exchange, Trace
from bot.sandbox.atlas.faults import Faults
from bot.sandbox.atlas.gates import Gates
from bot.sandbox.atlas.guard import foreign
from bot.sandbox.atlas.tokens import TokenOffice
from bot.sandbox.atlas.wire import Call, Wire
from bot.sandbox.atlas.world import World

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp.typedefs import Handler

WELCOME = (
    "This is a sandbox: a stand-in of the MongoDB Atlas Administration API.\n"
    "Nothing here is real; its keys open nothing. Control it under /_sandbox/.\n"
)


class FakeAtlasServer:
    """An Atlas Administration API on loopback; an async context manager, or `start` and `stop`.

    `world`, `behaviour` and `faults` may be changed at any time. `port` 0 takes a free one, and
    the same again after a stop.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        behaviour: Behaviour | None = None,
        clock: Clock = wall_clock,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.world = world if world is not None else World.example(clock())
        self.behaviour = behaviour or Behaviour()
        self.clock = clock
        self.host = host
        self.port = port
        self.faults = Faults()
        self.wire = Wire()
        self.gatekeeper = Gatekeeper(self.behaviour)
        self.office = TokenOffice(self.behaviour)
        self._gates = Gates(self.world, self.behaviour, self.gatekeeper, self.office)
        self._exchange = Exchange(self._gates, self.faults)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The base that clients are given, such as `http://127.0.0.1:8080`."""
        return f"http://{self.host}:{self.port}"

    @property
    def calls(self) -> list[Call]:
        """Every call so far but those to the control API, oldest first."""
        return self.wire.calls

    def deletes(self, job_id: str = "") -> list[Call]:
        """The DELETEs whose credentials were taken, of one job or of all."""
        return self.wire.deletes(job_id)

    async def start(self) -> None:
        """Listen; after it, `url` is right."""
        self._exchange.stopping.clear()
        app = web.Application(middlewares=[self._keep_out])
        app.add_routes(Control(self).routes())
        app.router.add_get("/", self._welcome)
        app.router.add_route("*", r"/_sandbox{rest:[\s\S]*}", _no_such_control)
        app.router.add_route("*", r"/{path:[\s\S]*}", self._serve)
        app.on_response_prepare.append(_say_what_this_is)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, self.host, self.port).start()
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Cut what waits, close every connection, and listen no more."""
        self._exchange.stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def about(self) -> dict[str, object]:
        """Return what somebody needs to use it: its address, projects and credentials."""
        return {
            "sandbox": True,
            "atlas": self.url,
            "projects": {p.id: p.name for p in self.world.projects.values()},
            "keys": {key.identifier: key.secret for key in self.world.keys.values()},
            "service_accounts": {
                account.identifier: account.secret
                for account in self.world.service_accounts.values()
            },
        }

    async def _welcome(self, _request: web.Request) -> web.Response:
        return web.Response(text=WELCOME)

    @web.middleware
    async def _keep_out(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if why := foreign(headers):
            raise web.HTTPForbidden(text=why)
        return await handler(request)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        ask = await self._read(request)
        trace = Trace()
        try:
            answer = await self._exchange.answer(ask, trace)
        except ConnectionCut:
            self._record(ask, trace, None, began)
            _abort(request)
            return web.Response()
        self._record(ask, trace, None if answer.cut else answer.status, began)
        return await _send(request, answer)

    async def _read(self, request: web.Request) -> Ask:
        return Ask(
            method=request.method,
            target=request.raw_path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=(await request.read()).decode(errors="replace"),
            address=request.remote or "",
            at=self.clock(),
            base=self.url,
        )

    def _record(self, ask: Ask, trace: Trace, status: int | None, began: float) -> None:
        self.wire.record(
            Call(
                at=ask.at,
                method=ask.method,
                path=ask.target,
                status=status,
                authorization=trace.scheme,
                challenge=trace.challenge,
                nonce_reused=trace.nonce_reused,
                seconds=time.perf_counter() - began,
                refused=trace.refused,
                faults=tuple(trace.faults),
                effect=trace.effect,
            )
        )


async def _send(request: web.Request, answer: Answer) -> web.StreamResponse:
    headers = {**answer.headers, "Content-Type": answer.media}
    if not answer.cut:
        return web.Response(status=answer.status, headers=headers, body=answer.body or None)
    response = web.StreamResponse(status=answer.status, headers=headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _no_such_control(_request: web.Request) -> web.Response:
    raise web.HTTPNotFound(text="the control API has no such call")


async def _say_what_this_is(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SANDBOX_HEADERS)
