"""Slack's codes are mapped to errors."""

from types import SimpleNamespace

import aiohttp
import pytest

from bot.slack import errors
from bot.slack.errors import ERROR_CODES, RateLimited, translate_error
from tests.unit.slack.fake_slack import REFUSED, api_error


def test_each_code_has_one_meaning() -> None:
    codes = [code for several in ERROR_CODES.values() for code in several]

    assert len(codes) == len(set(codes))


def test_unknown_code_is_a_refusal_that_names_it() -> None:
    meaning = translate_error(api_error("invalid_blocks"))

    assert type(meaning) is errors.SlackRejected
    assert "invalid_blocks" in meaning.sentence


@pytest.mark.parametrize(
    "error",
    [
        *(aiohttp.ServerDisconnectedError(), TimeoutError(), OSError()),
        api_error("", status=503),
        REFUSED("unreadable", SimpleNamespace(status=502, headers={})),
    ],
    ids=["disconnected", "late", "broken", "server error without a code", "no object"],
)
def test_error_without_a_code_counts_as_no_answer(error: Exception) -> None:
    assert type(translate_error(error)) is errors.SlackUnavailable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "86400"}, errors.MAX_RETRY_AFTER),
        ({"Retry-After": "inf"}, errors.MAX_RETRY_AFTER),
        ({"Retry-After": "soon"}, errors.DEFAULT_RETRY_AFTER),
        ({}, errors.DEFAULT_RETRY_AFTER),
    ],
)
def test_retry_after_is_read_from_the_answer(headers: dict[str, str], seconds: float) -> None:
    meaning = translate_error(api_error("ratelimited", 429, headers))

    assert isinstance(meaning, RateLimited)
    assert meaning.seconds == seconds
