"""Answers Slack's envelopes: each one once, and the same again when it comes again."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, TypeAlias

from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.socket_mode.response import SocketModeResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slack_bolt.response import BoltResponse
    from slack_sdk.socket_mode.request import SocketModeRequest

    from bot.slack.intake.port import App

Json: TypeAlias = dict[str, Any]

#: How many answers are kept for envelopes that come again.
REMEMBERED = 1000

OK = 200


class Envelopes:
    """Has the app answer envelopes, and remembers what it said.

    Slack repeats an envelope whose ack did not reach it, over any connection. A command that is
    handled twice would use its trigger twice, and tell a person that the dialog came too late.
    """

    def __init__(self, app: App, remembered: int = REMEMBERED) -> None:
        self._app = app
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
        request = AsyncBoltRequest(
            mode="socket_mode", body=envelope.payload, headers=retry_headers(envelope)
        )
        return ack_of(envelope.envelope_id, await self._app.async_dispatch(request))


def retry_headers(envelope: SocketModeRequest) -> dict[str, str | Sequence[str]]:
    """Say that an envelope came again with the headers that HTTP mode has for it, as Bolt does."""
    said = {
        "x-slack-retry-num": envelope.retry_attempt,
        "x-slack-retry-reason": envelope.retry_reason,
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
