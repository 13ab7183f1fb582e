"""Exponential backoff with jitter."""

import pytest

from bot.timings import backoff


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 5.0), (10_000, 5.0)]
)
def test_pause_doubles_with_each_failure_up_to_the_limit(failures: int, seconds: float) -> None:
    assert backoff(failures, first=0.5, longest=5.0, jitter=0.0) == seconds


def test_jitter_takes_up_to_half_off_the_pause() -> None:
    assert backoff(1, first=2.0, longest=5.0, jitter=1.0) == 1.0


def test_retry_after_is_a_lower_bound_above_the_limit_with_a_tenth_of_jitter() -> None:
    assert backoff(1, first=0.5, longest=5.0, jitter=0.0, retry_after=30.0) == 30.0
    assert backoff(1, first=0.5, longest=5.0, jitter=1.0, retry_after=30.0) == 33.0


def test_shorter_retry_after_does_not_shorten_the_pause() -> None:
    assert backoff(4, first=0.5, longest=5.0, jitter=0.0, retry_after=1.0) == 4.0
