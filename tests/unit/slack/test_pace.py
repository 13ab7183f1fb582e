"""The pace of calls to Slack: its documented rates, and pauses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.pace import Pace
from tests.support.clock import FakeClock


@given(st.lists(st.floats(min_value=0, max_value=20), max_size=120))
def test_calls_stay_within_the_documented_rates(pauses: list[float]) -> None:
    clock = FakeClock()
    pace = Pace(clock.monotonic)
    posts: list[float] = []
    edits: list[float] = []
    for pause in pauses:
        clock.advance(pause)
        posts += [clock.monotonic()] if pace.may_call("chat.postMessage", "C1") else []
        edits += [clock.monotonic()] if pace.may_call("chat.update", f"C{len(edits)}") else []

    assert all(sum(at <= item < at + 30 for item in posts) <= 40 for at in posts)
    assert all(sum(at <= item < at + 60 for item in edits) <= 50 for at in edits)


@pytest.mark.parametrize(
    ("method", "burst", "interval"), [("chat.postMessage", 10, 1.0), ("chat.update", 20, 2.0)]
)
def test_burst_is_followed_by_one_call_in_each_interval(
    method: str, burst: int, interval: float
) -> None:
    clock = FakeClock()
    pace = Pace(clock.monotonic)
    at_once = sum(pace.may_call(method, "C1") for _ in range(100))
    calls = []
    for _ in range(3):
        clock.advance(interval - 0.1)
        calls.append(pace.may_call(method, "C1"))
        clock.advance(0.1)
        calls += [pace.may_call(method, "C1"), pace.may_call(method, "C1")]

    assert at_once == burst
    assert calls == [False, True, False] * 3


@pytest.mark.parametrize(
    ("method", "channel", "may"),
    [
        ("chat.postMessage", "C1", False),
        ("chat.postMessage", "C2", True),
        ("chat.update", "C1", True),
    ],
)
def test_pause_is_of_one_method_in_one_channel(method: str, channel: str, may: bool) -> None:
    clock = FakeClock()
    pace = Pace(clock.monotonic)
    pace.pause("chat.postMessage", "C1", 20)
    pace.pause("chat.postMessage", "C1", 5)  # a shorter one does not end the longer one
    clock.advance(19)

    assert pace.may_call(method, channel) is may
    clock.advance(1)
    assert pace.may_call(method, channel)


@pytest.mark.parametrize("channel", ["C1", "C2"])
def test_no_burst_follows_a_pause(channel: str) -> None:
    """Edits count for the workspace: no other channel has a burst either."""
    clock = FakeClock()
    pace = Pace(clock.monotonic)
    pace.pause("chat.update", "C1", 4)
    clock.advance(4)
    calls = [pace.may_call("chat.update", channel) for _ in range(20)]

    assert 1 <= sum(calls) <= 3
    assert calls[0]
