"""Handles `/api/<method>`: token, scope, arguments, effect, record, and injected faults."""

import asyncio
import json
import math
from typing import Any

from aiohttp import web

from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.faults import Fault
from bot.sandbox.slack.web_api.arguments import Args, read_arguments
from bot.sandbox.slack.web_api.auth import authenticate, authorize
from bot.sandbox.slack.web_api.methods import METHODS
from bot.sandbox.slack.world import Call, World

Json = dict[str, Any]


class WebApi:
    """The Web API of one world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Handle one call; without an answer where the client has gone."""
        try:
            return await self._handle(request)
        except ConnectionError:
            return web.Response()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        """Handle one call, including an injected fault."""
        name = request.match_info["method"]
        fault = self._world.faults.next(name)
        late = fault.seconds if fault and fault.kind == "delay" else 0.0
        await asyncio.sleep(late)
        if fault and fault.kind in _INSTEAD:
            return await self._fail(request, name, fault)
        args = Args({})
        try:
            args = await self._arguments(request, name)
            if seconds := self._world.rates.wait(name, args.text("channel")):
                limited = Fault(kind="ratelimited", seconds=math.ceil(seconds))
                return await self._fail(request, name, limited)
            body = self._run(request, name, args)
        except ApiError as error:
            body = error.as_json()
        answer = self._answer(name, args, body)
        return _broken(request) if fault and fault.kind == "reset_after" else answer

    async def _arguments(self, request: web.Request, name: str) -> Args:
        method = METHODS.get(name)
        return await read_arguments(request, takes_json=method is None or method.takes_json)

    def _run(self, request: web.Request, name: str, args: Args) -> Json:
        method = METHODS.get(name)
        if method is None:
            raise ApiError("unknown_method", req_method=name)
        caller = authenticate(self._world.workspace.app, _token(request, args))
        authorize(caller, method.tokens, method.any_of)
        args.need(*method.required)
        return {"ok": True, **method.run(self._world, args, caller)}

    def _answer(self, name: str, args: Args, body: Json) -> web.Response:
        headers = {"X-OAuth-Scopes": ",".join(sorted(self._world.workspace.app.scopes))}
        self._record(name, args, body.get("error"), 200)
        return web.json_response(body, headers=headers)

    async def _fail(self, request: web.Request, name: str, fault: Fault) -> web.StreamResponse:
        args = await self._arguments(request, name)
        status = {"ratelimited": 429, "status": fault.status}.get(fault.kind, 200)
        code = fault.code if fault.kind == "error" else fault.kind
        self._record(name, args, code, status)
        return _odd_answer(fault, code, status)

    def _record(self, name: str, args: Args, error: str | None, status: int) -> None:
        shown = {key: value for key, value in args.values.items() if key != "token"}
        call = Call(
            method=name,
            args=json.loads(json.dumps(shown, default=str)),
            ok=error is None,
            error=error,
            status=status,
            at=self._world.clock(),
        )
        self._world.record_call(call)


_INSTEAD = ("ratelimited", "error", "status")


def _token(request: web.Request, args: Args) -> str:
    bearer = request.headers.get("Authorization", "")
    return bearer.removeprefix("Bearer ").strip() or args.text("token")


def _broken(request: web.Request) -> web.Response:
    """Abort the connection instead of responding."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _odd_answer(fault: Fault, code: str, status: int) -> web.Response:
    if fault.kind == "status":
        return web.Response(status=status, text="upstream connect error")
    headers = {"Retry-After": f"{fault.seconds:.0f}"} if fault.kind == "ratelimited" else {}
    return web.json_response({"ok": False, "error": code}, status=status, headers=headers)
