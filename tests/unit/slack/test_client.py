"""The Web API client: its connections, and answers that are not JSON."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.client import MAX_CONNECTIONS, SlackClient, new_session
from bot.slack.errors import InvalidToken, SlackError, SlackUnavailable
from bot.startup_checks import AUTH_TEST_INTERVAL, TOKEN_TEST_PAUSE, TokenStatus
from tests.support.clock import FakeClock
from tests.support.web import listening
from tests.unit.slack.fake_slack import FakeSlack

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

        with pytest.raises(SlackUnavailable):
            await client.chat_postMessage(channel="C0OPS", text="hello")


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
    with suppress(SlackError):
        await client.chat_postMessage(channel="C0OPS", text="hello")


async def pass_time(
    status: TokenStatus, client: AsyncWebClient, clock: FakeClock, seconds: int
) -> str | None:
    """Return the problem after this time, in which nothing asks for it."""
    for _ in range(0, seconds, int(TOKEN_TEST_PAUSE)):
        await status.test_if_due(client)
        clock.advance(TOKEN_TEST_PAUSE)
    return status.problem()


async def test_refused_token_is_a_problem_until_a_test_succeeds() -> None:
    answers = {"ok": False, "error": "token_revoked"}

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(answers)

    clock = FakeClock()
    status = TokenStatus(clock=clock.monotonic)
    async with connected(answer, status) as client:
        before = await pass_time(status, client, clock, 100)
        await post(client)
        refused = [status.problem(), await pass_time(status, client, clock, 10)]
        answers = {"ok": True}
        after = await pass_time(status, client, clock, 10)

    assert (before, after) == (None, None)
    assert refused == [InvalidToken("token_revoked").sentence] * 2


async def test_token_is_tested_in_http_mode_while_nothing_asks() -> None:
    clock, slack = FakeClock(), FakeSlack()
    status = TokenStatus(AUTH_TEST_INTERVAL, clock.monotonic)
    late = asyncio.TimeoutError
    slack.respond("auth.test", {}, {}, "fatal_error", {}, *[late()] * 9)
    problems = [await pass_time(status, slack, clock, seconds) for seconds in (65, 25, 10, 30, 30)]

    assert problems == [
        None,
        SlackUnavailable("fatal_error").sentence,
        None,
        None,  # the last test counts for a minute while the next one has no answer
        SlackUnavailable.sentence,
    ]


@pytest.mark.parametrize("code", ["missing_scope", "channel_not_found", "fatal_error"])
async def test_other_refusals_are_no_problem_of_the_token(code: str) -> None:
    status = TokenStatus()
    async with connected(always(ok=False, error=code), status) as client:
        await post(client)

    assert status.refused_with is None


async def test_refused_app_token_is_no_problem_of_the_bot_token() -> None:
    status = TokenStatus()
    async with connected(always(ok=False, error="invalid_auth"), status) as client:
        with pytest.raises(SlackError):
            await client.apps_connections_open(app_token="xapp-1")

    assert status.refused_with is None
