"""Slack's codes and statuses become errors with a sentence; the client raises no other."""

from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from slack_sdk.errors import SlackApiError

from bot.slack import errors
from bot.slack.client import SlackClient, new_session
from bot.slack.errors import ERROR_CODES, CannotPost, RateLimited, SlackUnavailable, translate_error


class Answer(dict[str, Any]):
    """The part of the SDK's answer that is read."""

    def __init__(self, code: str, status: int = 200, **headers: str) -> None:
        super().__init__(error=code)
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def refused(answer: Any) -> SlackApiError:
    return SlackApiError("refused", answer)  # type: ignore[no-untyped-call]  # the SDK has no types


def test_each_code_has_one_meaning() -> None:
    codes = [code for several in ERROR_CODES.values() for code in several]

    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer("something_new"), errors.SlackRejected),
        (Answer("something_new", 503), errors.SlackUnavailable),
        (Answer("", 503), errors.SlackUnavailable),
        (Answer("not_in_channel", 503), errors.CannotPost),
        (Answer("missing_scope"), errors.MissingScope),
        (Answer("plan_upgrade_required"), errors.NoUserGroups),
        (SimpleNamespace(status=502, headers={}), errors.SlackUnavailable),
    ],
)
def test_refusal_has_the_meaning_of_its_code(answer: Any, kind: type[errors.SlackError]) -> None:
    assert type(translate_error(refused(answer))) is kind


def test_missing_scope_takes_no_post_and_is_not_mended_by_an_invitation() -> None:
    assert issubclass(errors.MissingScope, CannotPost)
    assert "/invite" not in str(errors.MissingScope("missing_scope"))


@pytest.mark.parametrize("error", [aiohttp.ServerDisconnectedError(), TimeoutError(), OSError()])
def test_error_of_the_connection_is_no_answer(error: Exception) -> None:
    assert type(translate_error(error)) is SlackUnavailable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"Retry_After": "-3"}, 0.0),
        ({"Retry_After": "86400"}, errors.MAX_RETRY_AFTER),
        ({"Retry_After": "inf"}, errors.MAX_RETRY_AFTER),
        ({"Retry_After": "soon"}, errors.DEFAULT_RETRY_AFTER),
        ({}, errors.DEFAULT_RETRY_AFTER),
    ],
)
def test_retry_after_is_read_from_the_answer(headers: dict[str, str], seconds: float) -> None:
    error = translate_error(refused(Answer("ratelimited", 429, **headers)))

    assert isinstance(error, RateLimited)
    assert error.seconds == seconds


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/json"])
async def test_page_of_a_proxy_is_no_answer(kind: str) -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>maintenance</html>", content_type=kind)

    app = web.Application()
    app.router.add_post("/api/{method}", page)
    async with TestServer(app) as server, new_session() as session:
        client = SlackClient("xoxb-1", str(server.make_url("/api/")), session)
        with pytest.raises(SlackUnavailable):
            await client.chat_postMessage(channel="C0OPS", text="hello")


async def test_post_whose_connection_breaks_is_sent_once() -> None:
    posts = 0

    async def broken(request: web.Request) -> web.Response:
        nonlocal posts
        posts += 1
        assert request.transport
        request.transport.close()
        return web.Response()

    app = web.Application()
    app.router.add_post("/api/{method}", broken)
    async with TestServer(app) as server, new_session() as session:
        client = SlackClient("xoxb-1", str(server.make_url("/api/")), session)
        with pytest.raises(SlackUnavailable):
            await client.chat_postMessage(channel="C0OPS", text="hello")

    assert posts == 1


async def test_attribute_error_of_a_bug_is_not_taken_for_an_answer() -> None:
    broken: Any = object()
    with pytest.raises(AttributeError):
        await SlackClient("xoxb-1", "http://127.0.0.1:1/api/", broken).api_test()
