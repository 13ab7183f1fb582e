"""The same signed request again is answered the same, and done once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from pydantic import SecretStr

from bot.sandbox.slack.signed_http import signed_headers
from bot.web.repeats import Repeats
from bot.web.signature_middleware import PATH, verify_slack_requests

if TYPE_CHECKING:
    from tests.unit.web.conftest import Serve

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
FORM = "application/x-www-form-urlencoded"


class Bolt:
    """Counts what it is asked; answers each time with another number."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self) -> web.StreamResponse:
        self.asked += 1
        number = self.asked
        await self.go.wait()
        status = self.statuses.pop(0) if self.statuses else 200
        return web.json_response({"answer": number}, status=status)


def texts(answers: list[web.StreamResponse]) -> list[str | None]:
    return [answer.text for answer in answers if isinstance(answer, web.Response)]


async def test_a_repeat_is_answered_the_same_and_does_nothing() -> None:
    repeats, bolt = Repeats(), Bolt()
    answers = [await repeats.answer("v0=1", bolt) for _ in range(3)]

    assert bolt.asked == 1
    assert texts(answers) == ['{"answer": 1}'] * 3
    assert {answer.content_type for answer in answers} == {"application/json"}


async def test_a_repeat_waits_for_the_answer_that_is_under_way() -> None:
    repeats, bolt = Repeats(), Bolt()
    bolt.go.clear()
    asking = [asyncio.create_task(repeats.answer("v0=1", bolt)) for _ in range(3)]
    await asyncio.sleep(0)
    bolt.go.set()

    assert texts(await asyncio.gather(*asking)) == ['{"answer": 1}'] * 3


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_what_did_not_work_is_tried_again(status: int) -> None:
    repeats, bolt = Repeats(), Bolt(status)
    answers = [await repeats.answer("v0=1", bolt) for _ in range(2)]

    assert [answer.status for answer in answers] == [status, 200]


@pytest.mark.parametrize("end", ["cancelled", "broken"])
async def test_a_request_that_ended_without_an_answer_is_tried_again_by_those_who_wait(
    end: str,
) -> None:
    repeats, bolt, started = Repeats(), Bolt(), asyncio.Event()

    async def fail() -> web.StreamResponse:
        started.set()
        await asyncio.sleep(0 if end == "broken" else 60)
        raise ZeroDivisionError

    first = asyncio.create_task(repeats.answer("v0=1", fail))
    await started.wait()
    second = asyncio.create_task(repeats.answer("v0=1", bolt))
    await asyncio.sleep(0)
    if end == "cancelled":
        first.cancel()
    await asyncio.gather(first, return_exceptions=True)

    assert texts([await second]) == ['{"answer": 1}']


async def test_the_oldest_answers_are_forgotten() -> None:
    repeats, bolt = Repeats(remembered=2), Bolt()
    for signature in ("v0=1", "v0=2", "v0=3", "v0=3", "v0=1"):
        await repeats.answer(signature, bolt)

    assert bolt.asked == 4


async def test_slacks_path_does_a_repeated_request_once(serve: Serve) -> None:
    seen: list[str] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(await request.text())
        return web.Response(text=f"answer {len(seen)}")

    app = web.Application(middlewares=[verify_slack_requests(SecretStr(SECRET), time.time)])
    app.router.add_post(PATH, note)
    client = await serve(app)
    bodies = (
        b"command=/cancel-restore&user_id=U1&trigger_id=1",
        b"command=/cancel-restore&user_id=U1&trigger_id=2",
    )
    requests = [(body, signed_headers(SECRET, body, time.time(), FORM)) for body in bodies]
    said = []
    for body, headers in [*requests, *requests]:
        async with client.post(PATH, data=body, headers=headers) as answer:
            said.append(await answer.text())

    assert said == ["answer 1", "answer 2", "answer 1", "answer 2"]
    assert len(seen) == 2
