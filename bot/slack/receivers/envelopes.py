"""Answers Slack's envelopes: each one once, and the same again when it comes again."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, TypeAlias

import structlog
from slack_sdk.socket_mode.response import SocketModeResponse

from bot.slack.command.views import private
from bot.slack.receivers.requests import Misread, bolt_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slack_bolt.response import BoltResponse
    from slack_sdk.socket_mode.request import SocketModeRequest

    from bot.slack.receivers.base import App

Json: TypeAlias = dict[str, Any]
#: Given an envelope's type and payload, says what is wrong with it, or nothing.
Refuse: TypeAlias = "Callable[[str, Mapping[str, Any]], str | None]"

#: How many answers are kept for envelopes that come again.
REMEMBERED = 1000

OK = 200

UNREADABLE = "The bot could not read what Slack sent for this. Please type the command again."

log = structlog.get_logger(__name__)


def nothing_is_wrong(_kind: str, _payload: Mapping[str, Any]) -> None:
    """Let every envelope pass."""


class EnvelopeDispatcher:
    """Has the app answer envelopes, and remembers what it said.

    Slack repeats an envelope whose ack did not reach it, over any connection. A command that is
    handled twice would use its trigger twice, and tell a person that the dialog came too late.
    """

    def __init__(
        self, app: App, refuse: Refuse = nothing_is_wrong, remembered: int = REMEMBERED
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._remembered = remembered
        self._answers: dict[str, asyncio.Future[str | None]] = {}

    async def answer(self, envelope: SocketModeRequest) -> str | None:
        """Return the ack's text, or None where Bolt wants none sent."""
        if known := self._answers.get(envelope.envelope_id):
            return await asyncio.shield(known)
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._remember(envelope.envelope_id, answer)
        try:
            answer.set_result(await self._ask(envelope))
        finally:
            if not answer.done() or answer.result() is None:
                # It did not work: when it comes again, it is to be tried again.
                self._answers.pop(envelope.envelope_id, None)
                answer.cancel()
        return answer.result()

    def _remember(self, envelope_id: str, answer: asyncio.Future[str | None]) -> None:
        self._answers[envelope_id] = answer
        while len(self._answers) > self._remembered:
            self._answers.pop(next(iter(self._answers)))

    async def _ask(self, envelope: SocketModeRequest) -> str | None:
        try:
            if why := self._refuse(envelope.type, envelope.payload):
                return refusal(envelope, why)
            request = bolt_request(envelope.payload, retry_headers(envelope))
        except Misread as error:
            return refusal(envelope, str(error))
        return ack_of(envelope.envelope_id, await self._app.async_dispatch(request))


def refusal(envelope: SocketModeRequest, why: str) -> str:
    """Acknowledge what nobody can read, so that it does not come again."""
    log.info("refused an envelope", envelope=envelope.envelope_id, why=why)
    told = private(UNREADABLE) if envelope.type == "slash_commands" else None
    response = SocketModeResponse(envelope_id=envelope.envelope_id, payload=told)
    return json.dumps(response.to_dict())


def retry_headers(envelope: SocketModeRequest) -> dict[str, str]:
    """Say that an envelope came again with the headers that HTTP mode has for it, as Bolt does."""
    said = {
        "X-Slack-Retry-Num": envelope.retry_attempt,
        "X-Slack-Retry-Reason": envelope.retry_reason,
    }
    return {name: str(value) for name, value in said.items() if value is not None}


def ack_of(envelope_id: str, response: BoltResponse) -> str | None:
    """Put the app's answer into a frame; what is not 200 gets no ack, as with Bolt's adapters."""
    if response.status != OK:
        return None
    payload: Json | str | None = response.body or None
    if payload and "application/json" in str(response.headers.get("content-type")):
        payload = json.loads(response.body)
    return json.dumps(SocketModeResponse(envelope_id=envelope_id, payload=payload).to_dict())
