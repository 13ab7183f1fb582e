"""Triggers live 3 s and open one view; response URLs live 30 min and answer five times."""

import pytest

from bot.sandbox.slack import ApiError
from bot.sandbox.slack.stamps import Stamps
from bot.sandbox.slack.triggers import Passes, Place


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def passes(clock: Clock) -> Passes:
    return Passes(clock, Stamps(clock), "T1")


def refusal(passes: Passes, trigger_id: str) -> str:
    with pytest.raises(ApiError) as refused:
        passes.check_trigger(trigger_id)
    return refused.value.code


def test_a_trigger_works_for_three_seconds(passes: Passes, clock: Clock) -> None:
    trigger_id = passes.trigger("U1")

    clock.now += 3.0
    assert passes.check_trigger(trigger_id).user == "U1"
    clock.now += 0.1
    assert refusal(passes, trigger_id) == "expired_trigger_id"


def test_a_trigger_works_once(passes: Passes) -> None:
    trigger_id = passes.trigger("U1")

    passes.check_trigger(trigger_id).used = True

    assert refusal(passes, trigger_id) == "exchanged_trigger_id"


def test_a_trigger_that_was_never_given_is_invalid(passes: Passes) -> None:
    assert refusal(passes, "1.2.3") == "invalid_trigger_id"


def url_refusal(passes: Passes, token: str) -> str:
    with pytest.raises(ApiError) as refused:
        passes.use_response(token)
    return refused.value.code


def test_a_response_url_answers_five_times(passes: Passes) -> None:
    token = passes.response_token(Place(user="U1", channel="C1"))

    places = [passes.use_response(token) for _ in range(5)]

    assert [place.channel for place in places] == ["C1"] * 5
    assert url_refusal(passes, token) == "used_url"


def test_a_response_url_lives_half_an_hour(passes: Passes, clock: Clock) -> None:
    token = passes.response_token(Place(user="U1", channel="C1"))

    clock.now += 1801

    assert url_refusal(passes, token) == "expired_url"


def test_stamps_of_messages_rise_while_the_clock_stands_still(clock: Clock) -> None:
    stamps = Stamps(clock)

    made = [stamps.ts() for _ in range(3)]

    assert made == ["1000.000001", "1000.000002", "1000.000003"]
