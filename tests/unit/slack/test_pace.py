"""The pace of calls to Slack: its documented rates, and pauses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.pace import Pace
from tests.support.clock import FakeClock

POST, EDIT = "chat.postMessage", "chat.update"


def call(pace: Pace, method: str, channel: str, *, is_taken: bool = True) -> bool:
    """Make a call if it may be made now, and return that."""
    may = pace.may_call(method, channel)
    if may:
        pace.ended(method, channel, is_taken=is_taken)
    return may


@given(st.lists(st.floats(min_value=0, max_value=20), max_size=120))
def test_calls_stay_within_the_documented_rates(pauses: list[float]) -> None:
    clock = FakeClock()
    pace = Pace(clock.monotonic)
    posts: list[float] = []
    edits: list[float] = []
    for pause in pauses:
        clock.advance(pause)
        posts += [clock.monotonic()] if call(pace, POST, "C1") else []
        edits += [clock.monotonic()] if call(pace, EDIT, f"C{len(edits)}") else []

    assert all(sum(at <= item < at + 30 for item in posts) <= 40 for at in posts)
    assert all(sum(at <= item < at + 60 for item in edits) <= 50 for at in edits)


@pytest.mark.parametrize(("method", "burst", "interval"), [(POST, 10, 1.0), (EDIT, 20, 2.0)])
def test_burst_is_followed_by_one_call_in_each_interval(
    method: str, burst: int, interval: float
) -> None:
    clock = FakeClock()
    pace = Pace(clock.monotonic)
    at_once = sum(call(pace, method, "C1") for _ in range(100))
    calls = []
    for _ in range(3):
        clock.advance(interval - 0.1)
        calls.append(call(pace, method, "C1"))
        clock.advance(0.1)
        calls += [call(pace, method, "C1"), call(pace, method, "C1")]

    assert at_once == burst
    assert calls == [False, True, False] * 3


@pytest.mark.parametrize(
    ("method", "channel", "may"),
    [
        (POST, "C1", False),
        (POST, "C2", True),
        (EDIT, "C1", True),
    ],
)
def test_pause_is_of_one_method_in_one_channel(method: str, channel: str, may: bool) -> None:
    clock = FakeClock()
    pace = Pace(clock.monotonic)
    pace.pause(POST, "C1", 20)
    pace.pause(POST, "C1", 5)  # a shorter one does not end the longer one
    clock.advance(19)

    assert call(pace, method, channel) is may
    clock.advance(1)
    assert call(pace, method, channel)


@pytest.mark.parametrize("channel", ["C1", "C2"])
def test_no_burst_follows_a_pause(channel: str) -> None:
    """Edits count for the workspace: no other channel has a burst either."""
    clock = FakeClock()
    pace = Pace(clock.monotonic)
    pace.pause(EDIT, "C1", 4)
    clock.advance(4)
    calls = [call(pace, EDIT, channel) for _ in range(20)]

    assert 1 <= sum(calls) <= 3
    assert calls[0]


@pytest.mark.parametrize("is_paused", [False, True], ids=["new", "paused"])
def test_channel_gets_one_call_at_a_time_until_it_has_taken_one(*, is_paused: bool) -> None:
    clock = FakeClock()
    pace = Pace(clock.monotonic)
    if is_paused:
        call(pace, POST, "C1")
        pace.pause(POST, "C1", 30)
        clock.advance(30)
    tried = [pace.may_call(POST, "C1"), pace.may_call(POST, "C1")]
    closed = pace.closed_channels(POST)
    pace.ended(POST, "C1", is_taken=False)
    tried += [pace.may_call(POST, "C1"), pace.may_call(POST, "C1")]
    lets_others_follow = pace.ended(POST, "C1", is_taken=True)
    tried += [pace.may_call(POST, "C1"), pace.may_call(POST, "C1")]

    assert closed == {"C1"}
    assert lets_others_follow
    assert tried == [True, False, True, False, True, True]
