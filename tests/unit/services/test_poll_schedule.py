"""The schedule of reads, and the pauses after errors."""

import pytest

from bot.services.poll_schedule import (
    MAX_RATE_LIMIT_BACKOFF,
    PollSchedule,
    rate_limit_backoff,
    retry_interval,
)


def a_schedule(clusters: str) -> PollSchedule:
    schedule = PollSchedule(60)
    schedule.set_clusters(clusters, 0)
    return schedule


def test_reads_are_spread_evenly_over_the_interval() -> None:
    schedule = a_schedule("abcd")

    read = [schedule.pop_due(now) for now in (0, 14, 15, 30, 44, 45)]
    assert read == ["a", None, "b", "c", None, "d"]


def test_unchanged_clusters_keep_their_times() -> None:
    schedule = a_schedule("ab")
    schedule.set_clusters("ba", 25)

    assert schedule.next_due == 0
    assert (schedule.pop_due(25), schedule.next_due) == ("a", 30)


def test_new_cluster_is_read_before_known_ones() -> None:
    schedule = a_schedule("ab")
    for now in (0, 30):
        schedule.reschedule(str(schedule.pop_due(now)), now + 60)
    schedule.set_clusters("abz", 40)

    assert [schedule.pop_due(now) for now in (40, 60, 80)] == ["z", "a", "b"]


def test_cluster_in_flight_keeps_its_time_when_others_change() -> None:
    schedule = a_schedule("ab")
    assert schedule.pop_due(0) == "a"
    schedule.set_clusters("abz", 1)
    schedule.reschedule("a", 60)

    assert [schedule.pop_due(100), schedule.pop_due(100), schedule.pop_due(100)] == ["z", "b", "a"]


def test_urgent_clusters_are_read_first_in_the_given_order() -> None:
    schedule = a_schedule("abcd")
    schedule.prioritize("cb")

    assert [schedule.pop_due(0) for _ in range(4)] == ["c", "b", "a", None]


def test_urgent_cluster_in_flight_is_read_once_more_unless_its_read_had_not_begun() -> None:
    schedule = a_schedule("ab")
    for name in "ab":
        assert schedule.pop_due(30) == name
    schedule.begin("a")
    schedule.prioritize("ab")
    schedule.begin("b")
    for name in "ab":
        schedule.reschedule(name, 90)

    assert [schedule.pop_due(31), schedule.pop_due(31)] == ["a", None]


def test_urgent_clusters_stay_urgent_when_others_change() -> None:
    schedule = a_schedule("abc")
    schedule.prioritize("c")
    schedule.set_clusters("abcd", 1)

    assert schedule.pop_due(0) == "c"


def test_removed_cluster_is_not_rescheduled() -> None:
    schedule = a_schedule("a")
    schedule.pop_due(0)
    schedule.set_clusters("", 1)
    schedule.reschedule("a", 60)

    assert schedule.pop_due(1000) is None


@pytest.mark.parametrize(
    ("interval", "pauses"), [(1, [1, 2, 4, 8, 15, 15]), (60, [60, 60]), (3600, [60, 60])]
)
def test_failed_cluster_is_retried_within_a_minute(interval: float, pauses: list[float]) -> None:
    assert [retry_interval(interval, n + 1) for n in range(len(pauses))] == pauses


def test_backoff_after_429_follows_retry_after_and_grows() -> None:
    assert rate_limit_backoff(1, 7, 0) == 7
    assert [rate_limit_backoff(n, None, 0) for n in (1, 2, 3)] == [10, 20, 40]
    assert [rate_limit_backoff(2, asked, 0) for asked in (7, 55)] == [20, 55]
    assert rate_limit_backoff(99, 1, 0) == MAX_RATE_LIMIT_BACKOFF
    assert rate_limit_backoff(1, 10, 1) == 11
