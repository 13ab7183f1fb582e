"""One request from its arrival to its answer: gates, faults, effect, dress."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from bot.sandbox.atlas.answers import USUAL_HEADERS, Answer, enveloped, unauthorized
from bot.sandbox.atlas.asks import find
from bot.sandbox.atlas.faults import Fault, Faults, Kind
from bot.sandbox.atlas.gates import Gates, Unauthorized, scheme
from bot.sandbox.atlas.striking import strike
from bot.sandbox.atlas.tokens import FORM, OAuthRefused, authenticate

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.sandbox.atlas.asks import Ask
    from bot.sandbox.atlas.wire import Scheme

TOKEN_PATH = "/api/oauth/token"
REVOKE_PATH = "/api/oauth/revoke"


class ConnectionCut(Exception):
    """The connection ends here, without an answer."""


@dataclass
class Trace:
    """What the wire's record will say about a request."""

    scheme: Scheme = "none"
    refused: str = ""
    challenge: bool = False
    nonce_reused: bool = False
    faults: list[str] = field(default_factory=list)
    effect: bool = False


@dataclass
class Exchange:
    """Answers requests; `stopping` is set when the stand-in goes, and ends every wait."""

    gates: Gates
    faults: Faults
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, ask: Ask, trace: Trace) -> Answer:
        """Return the answer, with notes in `trace`; raise ConnectionCut when there is none."""
        trace.scheme = scheme(ask.authorization)
        self.gates.world.pass_time(ask.at)
        self._forget(ask, trace)
        if ask.path in (TOKEN_PATH, REVOKE_PATH):
            return await self._under_faults(ask, trace, "call", lambda: self._oauth(ask))
        try:
            caller = self.gates.authenticate(ask)
        except Unauthorized as refused:
            refusal = self._challenge(ask, trace, refused)
            return await self._under_faults(ask, trace, "challenge", lambda: refusal)
        trace.nonce_reused = caller.nonce_reused
        try:
            return await self._under_faults(
                ask, trace, "call", lambda: self.gates.pass_through(ask, caller.who)
            )
        except Unauthorized as refused:
            return self._challenge(ask, trace, refused)

    async def _under_faults(
        self, ask: Ask, trace: Trace, leg: str, act: Callable[[], Answer]
    ) -> Answer:
        struck = self.faults.take(ask.method, ask.target, leg)
        trace.faults += [fault.kind.value for fault in struck]
        await self._before(struck)
        if all(fault.has_effect for fault in struck):
            answer = self._act(ask, trace, struck, act)
        else:
            answer = Answer(status=HTTPStatus.OK)
        await self._after(struck)
        for fault in struck:
            answer = self._strike(fault, answer, ask, trace)
        return _dress(answer, ask, self.gates) if leg == "call" else answer

    def _act(
        self, ask: Ask, trace: Trace, struck: list[Fault], act: Callable[[], Answer]
    ) -> Answer:
        before = len(self.gates.world.cancellations)
        for fault in struck:
            if fault.kind is Kind.STALE_READ:
                self._keep_old_view(ask, fault.reads)
        answer = act()
        trace.effect = len(self.gates.world.cancellations) > before
        return answer

    def _strike(self, fault: Fault, answer: Answer, ask: Ask, trace: Trace) -> Answer:
        if fault.kind in (Kind.REFUSE_KEY, Kind.ODD_CHALLENGE):
            trace.challenge, trace.refused = True, fault.kind.value
        challenge = self.gates.gatekeeper.challenge(ask.at)
        return strike(fault, answer, ask, self.gates.behaviour, challenge)

    async def _before(self, struck: list[Fault]) -> None:
        for fault in struck:
            if fault.kind is Kind.DELAY:
                await self._wait(fault.seconds)
            if fault.kind is Kind.RESET_BEFORE:
                raise ConnectionCut
            if fault.kind is Kind.HANG:
                await self._wait(None)

    async def _after(self, struck: list[Fault]) -> None:
        for fault in struck:
            if fault.kind is Kind.RESET_AFTER:
                raise ConnectionCut
            if fault.kind is Kind.HANG_AFTER:
                await self._wait(None)

    async def _wait(self, seconds: float | None) -> None:
        """Wait so long, or for ever (None); the end of the stand-in cuts the connection."""
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return
        raise ConnectionCut

    def _forget(self, ask: Ask, trace: Trace) -> None:
        leg = "call" if ask.authorization else "challenge"
        for fault in self.faults.take(ask.method, ask.target, leg, early=True):
            trace.faults.append(fault.kind.value)
            if fault.kind is Kind.FORGET_NONCES:
                self.gates.gatekeeper.forget()
            else:
                self.gates.office.forget()

    def _keep_old_view(self, ask: Ask, reads: int) -> None:
        found = find(ask)
        world = self.gates.world
        for _, job in world.jobs() if found else ():
            if found and found[1].get("job") == job.id:
                world.keep_old_view(job, reads)

    def _challenge(self, ask: Ask, trace: Trace, refused: Unauthorized) -> Answer:
        trace.challenge, trace.refused = True, str(refused)
        challenge = self.gates.gatekeeper.challenge(ask.at, stale=refused.stale)
        with_code = self.gates.behaviour.auth_error_code
        answer = unauthorized(challenge, with_code=with_code)
        return answer.with_headers({"X-Sandbox-Refused": str(refused)})

    def _oauth(self, ask: Ask) -> Answer:
        try:
            return Answer(status=HTTPStatus.OK, document=self._token(ask))
        except OAuthRefused as refused:
            headers = {"Allow": "POST"} if refused.status == HTTPStatus.METHOD_NOT_ALLOWED else {}
            return Answer(status=refused.status, document=refused.document, headers=headers)

    def _token(self, ask: Ask) -> dict[str, object] | None:
        if ask.method != "POST":
            raise OAuthRefused(405, "invalid_request", "Send a form with POST.")
        if not ask.headers.get("content-type", "").startswith(FORM):
            raise OAuthRefused(400, "invalid_request", "Send a form with POST.")
        form = dict(parse_qsl(ask.body, keep_blank_values=True))
        client = authenticate(
            ask.authorization,
            form,
            self.gates.world.service_accounts,
            body_allowed=self.gates.behaviour.token_body_credentials,
        )
        if ask.path == REVOKE_PATH:
            self.gates.office.revoke(client, form)
            return None
        return self.gates.office.grant(client, form, ask.at)


def _dress(answer: Answer, ask: Ask, gates: Gates) -> Answer:
    """Add what every application answer has, and what the query asks for: envelope and pretty."""
    if ask.path in (TOKEN_PATH, REVOKE_PATH) or "WWW-Authenticate" in answer.headers:
        return answer
    if ask.flag("envelope") and answer.raw is None:
        answer = enveloped(answer, gates.behaviour)
    answer = replace(answer, pretty=answer.pretty or ask.flag("pretty"))
    return answer.with_headers(USUAL_HEADERS)
