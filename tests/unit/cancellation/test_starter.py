"""The rule that joins a restore job with the events of the activity feed."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.atlas import RESTORE_REQUESTED, ActivityEvent, created_at
from bot.cancellation.starter import (
    FEED_DELAY,
    LISTED_AFTER,
    StartedBy,
    Starter,
    StarterKind,
    StarterStatus,
    started_by,
)

PROCESS = "a000000001"
JOB = f"67fe31b9{PROCESS}000100"
OLD = timedelta(minutes=5)


def an_event(
    seconds: float = 0, *, id_: str | None = None, counter: int = 0x104, **fields: Any
) -> ActivityEvent:
    created = created_at(JOB) + timedelta(seconds=seconds)
    payload = {
        "id": id_ or f"{int(created.timestamp()):08x}{PROCESS}{counter:06x}",
        "created": created.isoformat(),
        "eventTypeName": RESTORE_REQUESTED,
        **(fields or {"username": "dana@shop.example", "userId": "5d00"}),
    }
    return ActivityEvent.model_validate(payload)


def by(*events: ActivityEvent, own_key: str = "botkey", others: tuple[str, ...] = ()) -> Starter:
    found = started_by(JOB, events, age=OLD, own_key=own_key, other_jobs=others)
    assert found.knowledge is StarterStatus.KNOWN
    assert found.starter
    return found.starter


@pytest.mark.parametrize(
    ("fields", "kind", "name"),
    [
        ({"username": "ada@x.example", "userId": "1"}, StarterKind.USER, "ada@x.example"),
        ({"publicKey": "abcdwxyz", "apiKeyId": "1"}, StarterKind.API_KEY, "abcdwxyz"),
        ({"apiKeyId": "5f3b"}, StarterKind.API_KEY, "5f3b"),
        ({"publicKey": "mdb_sa_id_7"}, StarterKind.SERVICE_ACCOUNT, "mdb_sa_id_7"),
        ({"username": "mdb_sa_id_7"}, StarterKind.SERVICE_ACCOUNT, "mdb_sa_id_7"),
        ({"serviceAccount": "mdb_sa_id_7"}, StarterKind.SERVICE_ACCOUNT, "mdb_sa_id_7"),
        (
            {"username": "ada", "delegatePrincipal": {"id": "1", "name": "Tool"}},
            StarterKind.OAUTH_APP,
            "Tool for ada",
        ),
        ({"isGlobalAdmin": True, "username": "em@x"}, StarterKind.MONGODB_STAFF, "em@x"),
        ({"isGlobalAdmin": True}, StarterKind.MONGODB_STAFF, ""),
        ({"username": None, "publicKey": 7}, StarterKind.UNNAMED, ""),
    ],
)
def test_kind_and_name_come_from_the_fields_of_the_event(
    fields: dict[str, Any], kind: StarterKind, name: str
) -> None:
    assert by(an_event(**fields)) == Starter(kind=kind, name=name)


@pytest.mark.parametrize("name", ["botkey", "mdb_sa_id_1"])
def test_own_key_is_recognised(name: str) -> None:
    assert by(an_event(publicKey=name), own_key=name).own_key
    assert not by(an_event(publicKey="another"), own_key=name).own_key


@pytest.mark.parametrize(("seconds", "certain"), [(0, True), (-2, True), (2, True), (3, False)])
def test_event_beyond_two_seconds_is_only_probable(seconds: float, certain: bool) -> None:
    assert by(an_event(seconds)).certain is certain


def test_event_beyond_thirty_seconds_does_not_belong_to_the_job() -> None:
    found = started_by(JOB, [an_event(31)], age=OLD, own_key="")
    assert found == StartedBy(StarterStatus.NOT_IN_FEED)


def test_young_job_without_an_event_may_still_get_one() -> None:
    found = started_by(JOB, [], age=FEED_DELAY - timedelta(seconds=1), own_key="")
    assert found == StartedBy(StarterStatus.TOO_EARLY)


def test_ids_of_one_process_choose_between_two_events() -> None:
    other = an_event(username="eve", id_=f"67fe31b9{'b' * 10}000101")
    own = an_event(1, username="ada", counter=0x104)
    late = an_event(0, username="abe", counter=0x120)
    assert by(other, late, own) == Starter(kind=StarterKind.USER, name="ada")


def test_two_events_without_a_difference_name_both_and_are_not_certain() -> None:
    one = an_event(username="ada", id_=f"67fe31b9{'b' * 10}000101")
    two = an_event(1, username="eve", id_=f"67fe31b9{'c' * 10}000101")
    found = by(one, two)
    assert (found.name, found.certain, found.others) == ("ada", False, ("eve",))


def test_two_events_of_one_actor_are_certain() -> None:
    one = an_event(username="ada", id_=f"67fe31b9{'b' * 10}000101")
    two = an_event(1, username="ada", id_=f"67fe31b9{'c' * 10}000101")
    assert by(one, two) == Starter(kind=StarterKind.USER, name="ada")


def test_event_that_fits_two_jobs_is_not_certain() -> None:
    nearby_job = f"67fe31ba{'b' * 10}000001"
    assert not by(an_event(), others=(nearby_job, JOB)).certain


@pytest.mark.parametrize(
    ("read_after", "known"), [(None, False), (-1, False), (4.9, False), (5, True), (60, True)]
)
def test_jobs_are_known_once_all_clusters_were_read_five_seconds_after_the_event(
    read_after: float | None, known: bool
) -> None:
    event = an_event(1)
    at = None if read_after is None else event.created + timedelta(seconds=read_after)
    assert started_by(JOB, [event], age=OLD, own_key="", all_read_at=at).jobs_known is known


def test_jobs_are_known_after_the_last_event_that_may_be_the_jobs() -> None:
    events = [an_event(username="ada"), an_event(2, username="ada", counter=0x120)]
    at = events[0].created + LISTED_AFTER
    assert not started_by(JOB, events, age=OLD, own_key="", all_read_at=at).jobs_known


@pytest.mark.parametrize(
    ("process", "age", "known"), [("b" * 10, 19, False), ("b" * 10, 20, True), (PROCESS, 5, True)]
)
def test_jobs_that_share_two_events_are_unknown_while_one_may_be_missing(
    process: str, age: float, known: bool
) -> None:
    """Both may be the other job's; ids of one process say whose the closest one is."""
    events = [an_event(id_=f"67fe31b9{process}{counter}") for counter in ("000104", "000105")]
    nearby_job = f"67fe31b9{'c' * 10}000001"
    found = started_by(
        JOB,
        events,
        age=timedelta(seconds=age),
        own_key="",
        other_jobs=(nearby_job,),
        all_read_at=events[0].created + LISTED_AFTER,
    )
    assert found.starter
    assert (found.starter.complete, found.jobs_known) == (True, known)


def test_starter_with_known_jobs_is_equal_and_supersedes() -> None:
    unproven = StartedBy(StarterStatus.KNOWN, by(an_event()))
    proven = replace(unproven, jobs_known=True)
    assert proven == unproven
    assert proven.supersedes(unproven)
    assert not proven.supersedes(proven)


def test_event_of_another_job_is_not_taken_for_a_late_one() -> None:
    nearby_job = f"67fe31af{PROCESS}000001"  # ten seconds before
    events = [an_event(-10, username="ada")]
    found = started_by(JOB, events, age=OLD, own_key="", other_jobs=(nearby_job,))
    assert found == StartedBy(StarterStatus.NOT_IN_FEED)


def test_job_whose_event_is_late_does_not_make_the_starter_of_another_uncertain() -> None:
    late = f"67fe31c3{PROCESS}000001"  # ten seconds after
    assert by(an_event(username="ada"), others=(late,)).certain


def test_each_of_two_jobs_gets_the_event_that_follows_its_id() -> None:
    nearby_job = f"67fe31b9{PROCESS}000110"
    own, others = an_event(username="ada"), an_event(username="eve", counter=0x114)
    assert by(own, others, others=(nearby_job,)) == Starter(kind=StarterKind.USER, name="ada")


@pytest.mark.parametrize(
    ("events", "nearby", "complete"),
    [
        pytest.param([an_event()], [], True, id="own event"),
        pytest.param(
            [an_event(id_=f"67fe31b9{'c' * 16}")],
            [f"67fe31ba{'b' * 16}"],
            False,
            id="one event for two jobs",
        ),
        pytest.param(
            [an_event()], [f"67fe31b9{PROCESS}000090"], True, id="event that follows this job"
        ),
        pytest.param(
            [an_event()], [f"67fe31b9{PROCESS}000101"], False, id="event that follows another job"
        ),
        pytest.param([an_event(3)], [], False, id="event only probably of the job"),
        pytest.param(
            [an_event(id_=f"67fe31b9{'c' * 16}"), an_event(1, id_=f"67fe31ba{'d' * 16}")],
            [f"67fe31b9{'b' * 16}", f"67fe31ba{'b' * 16}"],
            False,
            id="two events for three jobs",
        ),
        pytest.param(
            [an_event(id_=f"67fe31b9{'c' * 16}"), an_event(1, id_=f"67fe31ba{'d' * 16}")],
            [f"67fe31b9{'b' * 16}"],
            True,
            id="two events for two jobs, in any order",
        ),
        pytest.param([an_event()], [f"67fe31c5{'b' * 16}"], True, id="nearby job without event"),
    ],
)
def test_candidates_are_complete_only_if_each_job_may_have_an_event(
    events: list[ActivityEvent], nearby: list[str], complete: bool
) -> None:
    assert by(*events, others=tuple(nearby)).complete is complete


@pytest.mark.parametrize(
    "value",
    [
        StartedBy(StarterStatus.NOT_IN_FEED),
        StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, name="ada", others=("eve",))),
    ],
)
def test_json_round_trip_keeps_the_value(value: StartedBy) -> None:
    assert value.to_json()["knowledge"] == value.knowledge  # a key that the audit log has
    assert StartedBy.from_json(value.to_json()) == value


def test_certain_starter_by_all_events_is_never_replaced_by_less() -> None:
    certain = StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, name="ada"), final=True)
    probable = StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, certain=False))
    absent, unread = StartedBy(StarterStatus.NOT_IN_FEED), StartedBy(StarterStatus.NOT_KNOWN)
    assert certain.supersedes(probable)
    assert probable.supersedes(absent)
    assert absent.supersedes(unread)
    assert not probable.supersedes(certain)
    assert not unread.supersedes(absent)
    assert not certain.supersedes(certain)
