"""Handles one request: authentication, faults, pipeline, envelope."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from bot.sandbox.atlas.api.apply_fault import apply_fault
from bot.sandbox.atlas.api.pipeline import Pipeline, Unauthorized, scheme
from bot.sandbox.atlas.api.request import find
from bot.sandbox.atlas.api.response import ApiResponse, enveloped, unauthorized
from bot.sandbox.atlas.auth.tokens import FORM, OAuthRefused, authenticate
from bot.sandbox.atlas.faults import Fault, Faults, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.sandbox.atlas.api.request import ApiRequest
    from bot.sandbox.atlas.call_recorder import Scheme

TOKEN_PATH = "/api/oauth/token"


class ConnectionCut(Exception):
    """The connection is aborted without a response."""


@dataclass
class Trace:
    """Details of a request for the call recorder."""

    scheme: Scheme = "none"
    challenge: bool = False
    nonce_reused: bool = False
    faults: list[str] = field(default_factory=list)
    effect: bool = False


@dataclass
class RequestHandler:
    """Handles requests; setting `stopping` ends every wait."""

    pipeline: Pipeline
    faults: Faults
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def respond(self, request: ApiRequest, trace: Trace) -> ApiResponse:
        """Return the response, and fill in `trace`; raise ConnectionCut for no response."""
        trace.scheme = scheme(request.authorization)
        self.pipeline.world.pass_time(request.at)
        self._forget(request, trace)
        if request.path == TOKEN_PATH:
            return await self._under_faults(request, trace, "call", lambda: self._oauth(request))
        try:
            caller = self.pipeline.authenticate(request)
        except Unauthorized as refused:
            refusal = self._challenge(request, trace, refused)
            return await self._under_faults(request, trace, "challenge", lambda: refusal)
        trace.nonce_reused = caller.nonce_reused
        try:
            return await self._under_faults(
                request, trace, "call", lambda: self.pipeline.respond(request, caller.who)
            )
        except Unauthorized as refused:
            return self._challenge(request, trace, refused)

    async def _under_faults(
        self, request: ApiRequest, trace: Trace, leg: str, act: Callable[[], ApiResponse]
    ) -> ApiResponse:
        faults = self.faults.take(request.method, request.target, leg)
        trace.faults += [fault.kind.value for fault in faults]
        await self._before(faults)
        if all(fault.has_effect for fault in faults):
            response = self._act(request, trace, faults, act)
        else:
            response = ApiResponse(status=HTTPStatus.OK)
        await self._after(faults)
        for fault in faults:
            response = self._apply(fault, response, request, trace)
        return _finish(response, request, self.pipeline) if leg == "call" else response

    def _act(
        self, request: ApiRequest, trace: Trace, faults: list[Fault], act: Callable[[], ApiResponse]
    ) -> ApiResponse:
        before = len(self.pipeline.world.cancellations)
        for fault in faults:
            if fault.kind is Kind.STALE_READ:
                self._keep_old_view(request, fault.reads)
        response = act()
        trace.effect = len(self.pipeline.world.cancellations) > before
        return response

    def _apply(
        self, fault: Fault, response: ApiResponse, request: ApiRequest, trace: Trace
    ) -> ApiResponse:
        if fault.kind is Kind.REFUSE_KEY:
            trace.challenge = True
        challenge = self.pipeline.digest_auth.challenge(request.at)
        return apply_fault(fault, response, request, self.pipeline.behaviour, challenge)

    async def _before(self, faults: list[Fault]) -> None:
        for fault in faults:
            if fault.kind is Kind.DELAY:
                await self._wait(fault.seconds)
            if fault.kind is Kind.RESET_BEFORE:
                raise ConnectionCut
            if fault.kind is Kind.HANG:
                await self._wait(None)

    async def _after(self, faults: list[Fault]) -> None:
        for fault in faults:
            if fault.kind is Kind.RESET_AFTER:
                raise ConnectionCut
            if fault.kind is Kind.HANG_AFTER:
                await self._wait(None)

    async def _wait(self, seconds: float | None) -> None:
        """Wait, or wait forever (None); stopping the server aborts the connection."""
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return
        raise ConnectionCut

    def _forget(self, request: ApiRequest, trace: Trace) -> None:
        leg = "call" if request.authorization else "challenge"
        for fault in self.faults.take(request.method, request.target, leg, early=True):
            trace.faults.append(fault.kind.value)
            self.pipeline.digest_auth.forget()

    def _keep_old_view(self, request: ApiRequest, reads: int) -> None:
        found = find(request)
        world = self.pipeline.world
        for _, job in world.jobs() if found else ():
            if found and found[1].get("job") == job.id:
                world.keep_old_view(job, reads)

    def _challenge(self, request: ApiRequest, trace: Trace, refused: Unauthorized) -> ApiResponse:
        trace.challenge = True
        challenge = self.pipeline.digest_auth.challenge(request.at, stale=refused.stale)
        return unauthorized(challenge)

    def _oauth(self, request: ApiRequest) -> ApiResponse:
        try:
            return ApiResponse(status=HTTPStatus.OK, document=self._token(request))
        except OAuthRefused as refused:
            headers = {"Allow": "POST"} if refused.status == HTTPStatus.METHOD_NOT_ALLOWED else {}
            return ApiResponse(status=refused.status, document=refused.document, headers=headers)

    def _token(self, request: ApiRequest) -> dict[str, object]:
        if request.method != "POST":
            raise OAuthRefused(405, "invalid_request", "Send a form with POST.")
        if not request.headers.get("content-type", "").startswith(FORM):
            raise OAuthRefused(400, "invalid_request", "Send a form with POST.")
        form = dict(parse_qsl(request.body, keep_blank_values=True))
        client = authenticate(request.authorization, self.pipeline.world.service_accounts)
        return self.pipeline.token_issuer.grant(client, form, request.at)


def _finish(response: ApiResponse, request: ApiRequest, pipeline: Pipeline) -> ApiResponse:
    """Put the response into the envelope, and indent it, as the query requests."""
    if request.path == TOKEN_PATH or "WWW-Authenticate" in response.headers:
        return response
    if request.flag("envelope") and response.raw is None:
        response = enveloped(response, pipeline.behaviour)
    return replace(response, pretty=request.flag("pretty"))
