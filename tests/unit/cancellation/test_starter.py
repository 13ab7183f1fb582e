"""Who may have started a download, by the events of the activity feed."""

from datetime import timedelta
from typing import Any

import pytest

from bot.atlas import ActivityEvent
from bot.cancellation.starter import Starters, starters_of
from tests.support.domain import START, job_id

SECOND = timedelta(seconds=1)


def event(seconds: float = 0, **actor: Any) -> ActivityEvent:
    values: dict[str, Any] = {
        "id": job_id(number=99),
        "event_type_name": "CPS_RESTORE_REQUESTED_AUDIT",
    }
    return ActivityEvent(
        **values, created=START + seconds * SECOND, **(actor or {"username": "dana"})
    )


def application(username: str = "", **principal: str) -> ActivityEvent:
    """Return the event of an application that acts for a user."""
    return event(0, username=username, delegate_principal=principal)


CASES = [
    ([], ()),
    ([event(5)], ("dana",)),
    ([event(-5)], ("dana",)),
    ([event(6)], ()),
    ([event(0), event(1)], ("dana",)),
    ([event(0), event(1, username="rina")], ("dana", "rina")),
    ([event(0, public_key="abcdefgh")], ("abcdefgh",)),
    ([event(0, client_id="mdb_sa_id_1", username="x")], ("mdb_sa_id_1",)),
    ([event(0, is_global_admin=True)], ("MongoDB staff",)),
    ([event(0, user_id="")], ("an unnamed account",)),
    ([application(name="Deploy", id="app1", on_behalf_of="dana")], ("Deploy for dana",)),
    ([application(name="Deploy", on_behalf_of="x", username="dana")], ("Deploy for dana",)),
    ([application(id="app1", on_behalf_of="dana")], ("app1 for dana",)),
    ([application(name="Deploy")], ("Deploy for an unnamed account",)),
]


@pytest.mark.parametrize(("events", "names"), CASES)
def test_events_near_the_start_name_the_possible_starters(
    events: list[ActivityEvent], names: tuple[str, ...]
) -> None:
    assert starters_of(job_id(), events, read_at=START) == Starters(read_at=START, names=names)


def test_event_that_also_fits_another_job_counts_only_without_an_own_one() -> None:
    other = job_id(START + 4 * SECOND, 2)
    shared, own = event(2, username="rina"), event(-3, username="dana")

    assert starters_of(job_id(), [shared, own], read_at=START, other_jobs=[other]).names == (
        "dana",
    )
    assert starters_of(job_id(), [shared], read_at=START, other_jobs=[other]).names == ("rina",)


def test_event_shared_with_a_job_that_has_one_too_many_counts() -> None:
    other = job_id(START - 4 * SECOND, 2)
    of_both = [event(-4, username="rina"), event(0, username="rina")]
    alone = event(4, username="nightly")

    names = starters_of(job_id(), [*of_both, alone], read_at=START, other_jobs=[other]).names

    assert names == ("nightly", "rina")


@pytest.mark.parametrize(
    ("names", "email", "may_be"),
    [
        (("dana@shop.example",), "DANA@shop.example", True),
        (("tool for dana@shop.example",), "dana@shop.example", True),
        (("rina", "dana@shop.example"), "dana@shop.example", True),
        (("xdana@shop.example",), "dana@shop.example", False),
        ((), "dana@shop.example", False),
        (("dana@shop.example",), None, False),
    ],
)
def test_person_may_be_a_starter_by_the_address_in_slack(
    names: tuple[str, ...], email: str | None, may_be: bool
) -> None:
    assert Starters(names=names).may_include(email) is may_be


def test_feed_covers_a_start_twenty_seconds_later() -> None:
    assert not Starters().covers(START)
    assert not Starters(read_at=START + 19 * SECOND).covers(START)
    assert Starters(read_at=START + 20 * SECOND).covers(START)


def test_later_read_adds_names_and_loses_none() -> None:
    first = Starters(read_at=START, names=("dana",))

    merged = first.merged(Starters(read_at=START + SECOND, names=("rina",)))

    assert merged == Starters(read_at=START + SECOND, names=("dana", "rina"))


def test_starters_of_which_no_read_was_usable_stay_unread_when_merged() -> None:
    assert Starters().merged(Starters()) == Starters()


def test_application_with_the_name_of_a_person_is_not_named_like_that_person() -> None:
    found = starters_of(job_id(), [application(name="dana@shop.example")], read_at=START)

    assert not found.may_include("dana@shop.example")
