"""Triggers live 3 s and open one view; response URLs live 30 min and answer five times."""

import pytest

from bot.sandbox.slack import ApiError
from bot.sandbox.slack.id_generator import IdGenerator
from bot.sandbox.slack.triggers import ResponseTarget, TriggerStore


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def triggers(clock: Clock) -> TriggerStore:
    return TriggerStore(clock, IdGenerator(clock), "T1")


def refusal(triggers: TriggerStore, trigger_id: str) -> str:
    with pytest.raises(ApiError) as refused:
        triggers.check_trigger(trigger_id)
    return refused.value.code


def test_a_trigger_works_for_three_seconds(triggers: TriggerStore, clock: Clock) -> None:
    trigger_id = triggers.trigger("U1")

    clock.now += 3.0
    assert triggers.check_trigger(trigger_id).user == "U1"
    clock.now += 0.1
    assert refusal(triggers, trigger_id) == "expired_trigger_id"


def test_a_trigger_works_once(triggers: TriggerStore) -> None:
    trigger_id = triggers.trigger("U1")

    triggers.check_trigger(trigger_id).used = True

    assert refusal(triggers, trigger_id) == "exchanged_trigger_id"


def test_a_trigger_that_was_never_given_is_invalid(triggers: TriggerStore) -> None:
    assert refusal(triggers, "1.2.3") == "invalid_trigger_id"


def url_refusal(triggers: TriggerStore, token: str) -> str:
    with pytest.raises(ApiError) as refused:
        triggers.use_response(token)
    return refused.value.code


def test_a_response_url_answers_five_times(triggers: TriggerStore) -> None:
    token = triggers.response_token(ResponseTarget(user="U1", channel="C1"))

    targets = [triggers.use_response(token) for _ in range(5)]

    assert [place.channel for place in targets] == ["C1"] * 5
    assert url_refusal(triggers, token) == "used_url"


def test_a_response_url_lives_half_an_hour(triggers: TriggerStore, clock: Clock) -> None:
    token = triggers.response_token(ResponseTarget(user="U1", channel="C1"))

    clock.now += 1801

    assert url_refusal(triggers, token) == "expired_url"


def test_stamps_of_messages_rise_while_the_clock_stands_still(clock: Clock) -> None:
    ids = IdGenerator(clock)

    made = [ids.ts() for _ in range(3)]

    assert made == ["1000.000001", "1000.000002", "1000.000003"]
