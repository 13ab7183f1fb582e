"""The Web API client: its connections, and answers that are not JSON."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from slack_sdk.errors import SlackApiError

from bot.slack.client import MAX_CONNECTIONS, SlackClient, new_session
from bot.slack.errors import CALL_ERRORS, InvalidToken, SlackUnavailable, translate_error
from bot.startup_checks import (
    AUTH_TEST_INTERVAL,
    LONGEST_TEST_AGE,
    TOKEN_RETEST_INTERVAL,
    TokenStatus,
)
from tests.support.web import listening

Answer = Callable[[web.Request], Awaitable[web.Response]]


@pytest.fixture(params=["text/html", "text/plain", "application/json"])
async def address_of_a_proxy(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A server that answers everything with a page, and with status 200."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>maintenance</html>", content_type=request.param)

    async with serving(page) as address:
        yield address


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    site = web.Application()
    site.router.add_post("/api/{method}", answer)
    async with listening(site) as port:
        yield f"http://127.0.0.1:{port}/api/"


def always(**body: object) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(body)

    return answer


async def test_page_of_a_proxy_is_reported_as_unavailable(address_of_a_proxy: str) -> None:
    async with new_session() as session:
        client = SlackClient("xoxb-1", address_of_a_proxy, session)

        with pytest.raises(CALL_ERRORS) as refused:
            await client.chat_postMessage(channel="C0OPS", text="hello")

    assert isinstance(translate_error(refused.value), SlackUnavailable)


async def test_attribute_error_of_a_bug_is_not_taken_for_an_answer() -> None:
    broken: Any = object()
    client = SlackClient("xoxb-1", "http://127.0.0.1:1/api/", broken)
    with pytest.raises(AttributeError):
        await client.api_test()


async def test_burst_of_calls_opens_no_more_than_the_maximum_of_connections() -> None:
    """Connections stay open while the bot is busy, and each uses memory."""
    seen, all_busy = set(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        seen.add(request.transport)
        if len(seen) == MAX_CONNECTIONS:
            all_busy.set()
        await all_busy.wait()
        return web.json_response({"ok": True})

    async with serving(slow) as address, new_session() as session:
        client = SlackClient("xoxb-1", address, session)
        await asyncio.gather(*(client.api_test() for _ in range(4 * MAX_CONNECTIONS)))

    assert len(seen) == MAX_CONNECTIONS


# A refused token


@asynccontextmanager
async def connected(answer: Answer, status: TokenStatus) -> AsyncIterator[SlackClient]:
    async with serving(answer) as address, new_session() as session:
        yield SlackClient("xoxb-1", address, session, status.record)


async def post(client: SlackClient) -> None:
    with suppress(SlackApiError):
        await client.chat_postMessage(channel="C0OPS", text="hello")


async def test_refused_token_is_a_problem_until_a_call_succeeds() -> None:
    answers = {"ok": False, "error": "token_revoked"}

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(answers)

    now = 0.0
    status = TokenStatus(clock=lambda: now)
    async with connected(answer, status) as client:
        before = await status.problem(client)
        await post(client)
        refused = await status.problem(client)
        answers = {"ok": True}
        too_early = await status.problem(client)
        now = TOKEN_RETEST_INTERVAL
        after = await status.problem(client)

    assert before is None
    assert refused == too_early == InvalidToken("token_revoked").sentence
    assert after is None


async def test_old_answer_is_tested_again_in_http_mode() -> None:
    answers: dict[str, object] = {"ok": True}
    calls = 0

    async def answer(_request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return web.json_response(answers)

    now = 0.0
    status = TokenStatus(AUTH_TEST_INTERVAL, lambda: now)
    async with connected(answer, status) as client:
        fresh = (await status.problem(client), calls)
        now = AUTH_TEST_INTERVAL
        tested = (await status.problem(client), calls)
        again = (await status.problem(client), calls)
        now, answers = 2 * AUTH_TEST_INTERVAL, {"ok": False, "error": "fatal_error"}
        failed = await status.problem(client)

    assert fresh == (None, 0)
    assert tested == again == (None, 1)
    assert failed == SlackUnavailable("fatal_error").sentence


async def test_slow_answer_counts_once_it_comes_and_until_then_the_last_one() -> None:
    answered = asyncio.Event()

    async def answer(_request: web.Request) -> web.Response:
        await answered.wait()
        return web.json_response({"ok": True})

    now = 0.0
    status = TokenStatus(AUTH_TEST_INTERVAL, lambda: now)
    status.wait = 0.01
    async with connected(answer, status) as client:
        now = AUTH_TEST_INTERVAL
        slow = await status.problem(client)
        now = LONGEST_TEST_AGE
        silent = await status.problem(client)
        answered.set()
        status.wait = 10.0
        assert await status.problem(client) is None

    assert (slow, silent) == (None, translate_error(TimeoutError()).sentence)


async def test_answers_to_other_calls_postpone_no_test_in_http_mode() -> None:
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path.rpartition("/")[2])
        return web.json_response({"ok": True})

    now = 0.0
    status = TokenStatus(AUTH_TEST_INTERVAL, lambda: now)
    async with connected(answer, status) as client:
        now = AUTH_TEST_INTERVAL - 1
        await post(client)
        now = AUTH_TEST_INTERVAL
        problem = await status.problem(client)

    assert problem is None
    assert paths == ["chat.postMessage", "auth.test"]


@pytest.mark.parametrize("code", ["missing_scope", "channel_not_found", "fatal_error"])
async def test_other_refusals_are_no_problem_of_the_token(code: str) -> None:
    status = TokenStatus()
    async with connected(always(ok=False, error=code), status) as client:
        await post(client)

    assert status.refused_with is None


async def test_refused_app_token_is_no_problem_of_the_bot_token() -> None:
    status = TokenStatus()
    async with connected(always(ok=False, error="invalid_auth"), status) as client:
        with pytest.raises(SlackApiError):
            await client.apps_connections_open(app_token="xapp-1")

    assert status.refused_with is None
