"""Socket Mode's frames, acks, and repeated envelopes."""

import asyncio
import json
from typing import Any

import pytest
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.slack.blockkit import read_object
from bot.slack.receivers.connections import read_envelope
from bot.slack.receivers.socket_mode import MAX_KEPT_ANSWERS, EnvelopeDispatcher, ack_of

COMMAND = {"command": "/cancel-restore", "user_id": "U1"}
FRAME: dict[str, Any] = {"type": "interactive", "envelope_id": "e1", "payload": {"a": 1}}


def envelope(envelope_id: str, **changes: Any) -> SocketModeRequest:
    whole = {"type": "slash_commands", "envelope_id": envelope_id, "payload": COMMAND}
    return SocketModeRequest(**(whole | changes))


class Counter:
    """Answers with the number of the payload, as Bolt's app does."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[AsyncBoltRequest] = []
        self._error = error

    async def __call__(self, req: AsyncBoltRequest) -> BoltResponse:
        self.asked.append(req)
        await asyncio.sleep(0)
        if self._error:
            raise self._error
        return BoltResponse(status=200, body=str(len(self.asked)))


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "7", "{", b"\xff", '"text"', pytest.param("[" * 100_000, id="deep")]
)
def test_frame_that_is_no_object_gives_an_empty_one(text: str | bytes) -> None:
    assert read_object(text) == {}


@pytest.mark.parametrize(
    "change", [{"envelope_id": None}, {"envelope_id": 7}, {"payload": None}, {"payload": [1]}]
)
def test_frame_without_id_or_payload_is_no_envelope(change: dict[str, Any]) -> None:
    assert read_envelope({**FRAME, **change}) is None


@pytest.mark.parametrize(
    ("body", "kind", "payload"),
    [
        ("", "", {}),
        ('{"text": "Hi."}', "application/json;charset=utf-8", {"payload": {"text": "Hi."}}),
        ("Hi.", "text/plain", {"payload": {"text": "Hi."}}),
    ],
)
def test_ack_carries_the_answer_as_in_bolts_adapters(
    body: str, kind: str, payload: dict[str, Any]
) -> None:
    response = BoltResponse(status=200, body=body, headers={"content-type": [kind]})

    assert json.loads(ack_of("e1", response) or "") == {"envelope_id": "e1", **payload}


def test_response_other_than_200_gets_no_ack() -> None:
    assert ack_of("e1", BoltResponse(status=404, body="")) is None


async def test_oldest_answers_are_dropped_beyond_the_maximum() -> None:
    app = Counter()
    envelopes = EnvelopeDispatcher(app)
    for number in range(MAX_KEPT_ANSWERS + 1):
        await envelopes.answer(envelope(f"e{number}"))

    for again in (f"e{MAX_KEPT_ANSWERS}", "e1", "e0"):
        await envelopes.answer(envelope(again, retry_attempt=1))

    assert len(app.asked) == MAX_KEPT_ANSWERS + 2


async def test_envelope_whose_dispatch_failed_is_dispatched_again() -> None:
    app = Counter(RuntimeError("once"))
    envelopes = EnvelopeDispatcher(app)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await envelopes.answer(envelope("e1"))

    assert len(app.asked) == 2


async def test_malformed_envelope_is_acked_and_not_dispatched() -> None:
    app = Counter()
    malformed = envelope("e1", type="interactive", payload={"type": "block_actions"})
    answer = await EnvelopeDispatcher(app).answer(malformed)

    assert json.loads(answer or "") == {"envelope_id": "e1"}
    assert app.asked == []
