"""Comparison of a cluster's jobs with the database."""

from collections.abc import Sequence

import pytest

from bot.atlas import RestoreJob
from bot.cancellation.watched_job import JobChange, WatchedState, compare
from tests.support.domain import a_job

LINK = ["https://x.invalid/y"]


def announced(changes: Sequence[JobChange]) -> list[tuple[str, str]]:
    return [(each.job_id[-1], each.state) for each in changes if each.announce]


def job(number: int, **changes: object) -> RestoreJob:
    return a_job(id=f"{number:024x}", **changes)


def known(
    number: int, state: WatchedState, *, announced: bool = True
) -> dict[str, tuple[WatchedState, bool]]:
    return {f"{number:024x}": (state, announced)}


def test_new_jobs_are_announced_oldest_first() -> None:
    assert announced(compare([job(2, deliveryUrl=LINK), job(1)], {}, first=True)) == [
        ("1", WatchedState.IN_PROGRESS),
        ("2", WatchedState.LINK_LIVE),
    ]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"deliveryUrl": LINK}, WatchedState.LINK_LIVE),
        ({"expiresAt": "2026-11-25T13:00:00Z"}, WatchedState.LINK_USED),
        ({"cancelled": True}, WatchedState.CANCELLED),
        ({"expired": True}, WatchedState.EXPIRED),
        ({"failed": True}, WatchedState.FAILED),
        ({"failed": True, "cancelled": True}, WatchedState.FAILED),
        ({"finishedAt": "2026-11-25T11:00:00Z"}, WatchedState.FINISHED),
    ],
)
def test_changes_of_an_announced_job_are_announced(
    change: dict[str, object], state: WatchedState
) -> None:
    found = compare([job(1, **change)], known(1, WatchedState.IN_PROGRESS), first=False)

    assert [(each.state, each.is_new, each.announce) for each in found] == [(state, False, True)]


def test_link_that_was_live_counts_as_used_when_nothing_is_left_of_it() -> None:
    (change,) = compare([job(1)], known(1, WatchedState.LINK_LIVE), first=False)

    assert change.state is WatchedState.LINK_USED
    assert compare([job(1)], known(1, WatchedState.LINK_USED), first=False) == []


def test_ended_job_in_the_first_read_is_recorded_and_not_announced() -> None:
    (found,) = compare([job(1, expired=True)], {}, first=True)

    assert (found.is_new, found.announce) == (True, False)


def test_job_that_started_and_ended_between_two_reads_is_announced() -> None:
    assert announced(compare([job(1, expired=True)], {}, first=False)) == [
        ("1", WatchedState.EXPIRED)
    ]


def test_unchanged_job_is_not_announced_again() -> None:
    assert compare([job(1)], known(1, WatchedState.IN_PROGRESS), first=False) == []


def test_other_delivery_types_are_ignored() -> None:
    others = [job(1, deliveryType="automated"), job(2, deliveryType="pointInTime")]

    assert compare(others, {}, first=False) == []


def test_open_job_that_is_no_longer_listed_is_announced_as_gone() -> None:
    assert announced(compare([], known(1, WatchedState.LINK_LIVE), first=False)) == [
        ("1", WatchedState.GONE)
    ]


@pytest.mark.parametrize("state", [state for state in WatchedState if state.is_over])
def test_ended_job_that_is_no_longer_listed_is_no_change(state: WatchedState) -> None:
    assert compare([], known(1, state), first=False) == []


def test_change_of_an_unannounced_job_is_announced_only_if_it_can_be_cancelled() -> None:
    before = known(1, WatchedState.EXPIRED, announced=False)

    assert announced(compare([job(1, failed=True)], before, first=False)) == []
    assert announced(compare([job(1)], before, first=False)) == [("1", WatchedState.IN_PROGRESS)]


@pytest.mark.parametrize("unread", [[f"{1:024x}"], [""]], ids=["its id", "an item without id"])
def test_job_that_cannot_be_read_is_not_gone(unread: list[str]) -> None:
    before = known(1, WatchedState.IN_PROGRESS)

    assert announced(compare([job(2)], before, first=False, unread=unread)) == [
        ("2", WatchedState.IN_PROGRESS)
    ]
    assert ("1", WatchedState.GONE) in announced(compare([job(2)], before, first=False))
