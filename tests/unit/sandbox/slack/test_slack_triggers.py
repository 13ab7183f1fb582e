"""Triggers live 3 s and open one view; response URLs live 30 min and answer five times."""

import pytest

from bot.sandbox.slack import ApiError
from bot.sandbox.slack.id_generator import IdGenerator
from bot.sandbox.slack.triggers import ResponseTarget, TriggerStore
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def triggers(clock: FakeClock) -> TriggerStore:
    return TriggerStore(clock.monotonic, IdGenerator(clock.monotonic), "T1", 3.0)


def refusal(triggers: TriggerStore, trigger_id: str) -> str:
    with pytest.raises(ApiError) as refused:
        triggers.check_trigger(trigger_id)
    return refused.value.code


def test_trigger_works_for_three_seconds(triggers: TriggerStore, clock: FakeClock) -> None:
    trigger_id = triggers.trigger("U1")
    clock.advance(3.0)
    assert triggers.check_trigger(trigger_id).user == "U1"
    clock.advance(0.1)
    assert refusal(triggers, trigger_id) == "expired_trigger_id"


def url_refusal(triggers: TriggerStore, token: str) -> str:
    with pytest.raises(ApiError) as refused:
        triggers.use_response(token)
    return refused.value.code


def test_response_url_expires_after_half_an_hour(triggers: TriggerStore, clock: FakeClock) -> None:
    token = triggers.response_token(ResponseTarget(user="U1", channel="C1"))
    clock.advance(1801)

    assert url_refusal(triggers, token) == "expired_url"
