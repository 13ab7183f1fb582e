"""The HTTP server of the fake Atlas: reads requests, sends responses, records calls."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from aiohttp import web

from bot.sandbox.atlas.api.pipeline import Pipeline
from bot.sandbox.atlas.api.request import ApiRequest
from bot.sandbox.atlas.api.request_handler import ConnectionCut, RequestHandler, Trace
from bot.sandbox.atlas.api.response import SANDBOX_HEADERS, ApiResponse
from bot.sandbox.atlas.auth.digest import DigestAuthenticator
from bot.sandbox.atlas.auth.tokens import TokenIssuer
from bot.sandbox.atlas.behaviour import Behaviour
from bot.sandbox.atlas.call_recorder import Call, CallRecorder
from bot.sandbox.atlas.clock import Clock, wall_clock
from bot.sandbox.atlas.faults import Faults
from bot.sandbox.atlas.world import World

if TYPE_CHECKING:
    from types import TracebackType

HOST = "127.0.0.1"


class FakeAtlasServer:
    """An Atlas Administration API on loopback; an async context manager, or `start` and `stop`.

    `world`, `behaviour` and `faults` may be changed at any time. `port` 0 selects a free port,
    which is kept after a stop.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        behaviour: Behaviour | None = None,
        clock: Clock = wall_clock,
        port: int = 0,
    ) -> None:
        self.world = world if world is not None else World.example(clock())
        self.behaviour = behaviour or Behaviour()
        self.clock = clock
        self.port = port
        self.faults = Faults()
        self.recorder = CallRecorder()
        pipeline = Pipeline(self.world, self.behaviour, DigestAuthenticator(), TokenIssuer())
        self._handler = RequestHandler(pipeline, self.faults)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The base URL for clients, such as `http://127.0.0.1:8080`."""
        return f"http://{HOST}:{self.port}"

    @property
    def calls(self) -> list[Call]:
        """Every call so far, oldest first."""
        return self.recorder.calls

    def deletes(self, job_id: str = "") -> list[Call]:
        """Return the DELETEs with accepted credentials, of one job or of all."""
        return [
            call
            for call in self.calls
            if call.method == "DELETE" and not call.challenge and job_id in call.path
        ]

    async def start(self) -> None:
        """Start to listen; `url` is valid afterwards."""
        self._handler.stopping.clear()
        app = web.Application()
        app.router.add_route("*", r"/{path:[\s\S]*}", self._serve)
        app.on_response_prepare.append(_mark_response)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, HOST, self.port).start()
        self.port = runner.addresses[0][1]

    async def listen_again(self) -> str:
        """Listen on another port, too, until it stops; return its URL."""
        if self._runner is None:
            raise RuntimeError("the server was not started")
        await web.TCPSite(self._runner, HOST, 0).start()
        return f"http://{HOST}:{self._runner.addresses[-1][1]}"

    async def stop(self) -> None:
        """Abort waiting requests, close every connection, and stop listening."""
        self._handler.stopping.set()
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

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        api_request = await self._read(request)
        trace = Trace()
        try:
            response = await self._handler.respond(api_request, trace)
        except ConnectionCut:
            self._record(api_request, trace, None, began)
            _abort(request)
            return web.Response()
        self._record(api_request, trace, None if response.cut else response.status, began)
        return await _send(request, response)

    async def _read(self, request: web.Request) -> ApiRequest:
        return ApiRequest(
            method=request.method,
            target=request.raw_path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=(await request.read()).decode(errors="replace"),
            address=request.remote or "",
            at=self.clock(),
            base=self.url,
        )

    def _record(self, request: ApiRequest, trace: Trace, status: int | None, began: float) -> None:
        self.recorder.record(
            Call(
                at=request.at,
                method=request.method,
                path=request.target,
                status=status,
                host=request.headers.get("host", ""),
                authorization=trace.scheme,
                challenge=trace.challenge,
                nonce_reused=trace.nonce_reused,
                seconds=time.perf_counter() - began,
                faults=tuple(trace.faults),
                effect=trace.effect,
            )
        )


async def _send(request: web.Request, response: ApiResponse) -> web.StreamResponse:
    headers = {**response.headers, "Content-Type": response.media}
    if not response.cut:
        return web.Response(status=response.status, headers=headers, body=response.body or None)
    stream = web.StreamResponse(status=response.status, headers=headers)
    stream.content_length = len(response.body)
    await stream.prepare(request)
    await stream.write(response.body[: len(response.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return stream


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _mark_response(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(SANDBOX_HEADERS)
