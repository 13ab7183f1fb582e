"""The rule that joins a restore job with the events of the activity feed."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.atlas import RESTORE_REQUESTED, ActivityEvent, created_at
from bot.atlas.models import parse_event
from bot.cancellation.starter import (
    FEED_DELAY,
    LISTED_AFTER,
    StartedBy,
    Starter,
    StarterKind,
    StarterStatus,
    started_by,
)
from bot.storage.job_store import starter_from_json

JOB = f"67fe31b9{'a' * 16}"
START = created_at(JOB)
LATE = START + timedelta(minutes=5)
LISTED = START + LISTED_AFTER
ADA = Starter(kind=StarterKind.USER, name="ada")


def a_job(seconds: float, letter: str = "b") -> str:
    return f"{int(START.timestamp() + seconds):08x}{letter * 16}"


def an_event(seconds: float = 0, number: int = 1, **fields: Any) -> ActivityEvent:
    created = START + timedelta(seconds=seconds)
    payload = {
        "id": f"{int(created.timestamp()):08x}{number:016x}",
        "created": created.isoformat(),
        "eventTypeName": RESTORE_REQUESTED,
        **(fields or {"username": "ada", "userId": "5d00"}),
    }
    event = parse_event(payload)
    assert event
    return event


def by(*events: ActivityEvent, own_key: str = "botkey", others: tuple[str, ...] = ()) -> Starter:
    found = started_by(JOB, events, read_at=LATE, own_key=own_key, other_jobs=others)
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
        (
            {"delegatePrincipal": {"name": "Tool", "onBehalfOf": "ada"}},
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


@pytest.mark.parametrize("seconds", [-2, 0, 2])
def test_event_within_two_seconds_is_the_jobs(seconds: float) -> None:
    assert by(an_event(seconds)) == ADA


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (FEED_DELAY - timedelta(seconds=1), StarterStatus.TOO_EARLY),
        (FEED_DELAY, StarterStatus.NOT_IN_FEED),
    ],
)
def test_event_beyond_two_seconds_is_not_the_jobs(age: timedelta, status: StarterStatus) -> None:
    found = started_by(JOB, [an_event(3)], read_at=START + age, own_key="")
    assert found == StartedBy(status)


def test_two_events_name_both_actors_the_nearest_first_and_are_not_certain() -> None:
    found = by(an_event(1, username="eve"), an_event())
    assert (found.name, found.certain, found.others) == ("ada", False, ("eve",))


@pytest.mark.parametrize(
    ("events", "others", "certain"),
    [
        pytest.param([an_event()], [JOB], True, id="one event of one job"),
        pytest.param([an_event(), an_event(1, 2)], [], True, id="two events of one person"),
        pytest.param([an_event()], [a_job(0)], False, id="one event for two jobs of a second"),
        pytest.param([an_event()], [a_job(2)], False, id="one event for two jobs"),
        pytest.param([an_event(), an_event(0, 2)], [a_job(0)], True, id="an event for each job"),
        pytest.param(
            [an_event(), an_event(0, 2)],
            [a_job(0), a_job(0, "c")],
            False,
            id="two events for three jobs",
        ),
        pytest.param(
            [an_event(), an_event(0, 2, username="eve")],
            [a_job(0)],
            False,
            id="two persons and two jobs",
        ),
        pytest.param(
            [an_event(2), an_event(5, 2)],
            [a_job(3), a_job(6)],
            False,
            id="job whose event another job may have, as a third has that one's",
        ),
        pytest.param(
            [an_event(2), an_event(5, 2, username="eve")],
            [a_job(3)],
            False,
            id="event that may be another job's, whose event is another person's",
        ),
        pytest.param(
            [an_event(2), an_event(6, 2), an_event(6, 3)],
            [a_job(0), a_job(4)],
            False,
            id="events enough for all jobs, but too late for two of them",
        ),
        pytest.param(
            [an_event(2), an_event(5, 2), an_event(8, 3)],
            [a_job(3), a_job(6)],
            True,
            id="chain of jobs with an event each",
        ),
        pytest.param(
            [an_event(0), an_event(4, 2), an_event(6, 3), an_event(8, 4)],
            [a_job(2), a_job(4), a_job(6)],
            True,
            id="chain in which only the first event is left for the first job",
        ),
        pytest.param([an_event()], [a_job(10)], True, id="job further away without an event"),
        pytest.param(
            [an_event(), an_event(3, 2, username="eve")], [a_job(3)], True, id="pairs three s apart"
        ),
    ],
)
def test_starter_is_certain_only_if_each_job_that_shares_events_has_one_of_the_same_person(
    events: list[ActivityEvent], others: list[str], certain: bool
) -> None:
    assert by(*events, others=tuple(others)).certain is certain


@pytest.mark.parametrize(
    ("all_read_at", "others", "certain"),
    [
        (LISTED, (), True),
        (LISTED - timedelta(seconds=1), (), False),
        (LISTED, (a_job(1),), False),
        (None, (), True),
    ],
    ids=["read", "read too early", "another job has the event", "not watched"],
)
def test_starter_is_certain_only_once_each_job_that_may_have_the_event_is_listed(
    all_read_at: datetime | None, others: tuple[str, ...], certain: bool
) -> None:
    found = started_by(
        JOB, [an_event()], read_at=LATE, own_key="", other_jobs=others, all_read_at=all_read_at
    )
    assert found.is_certain is certain


@pytest.mark.parametrize(
    "value",
    [
        StartedBy(StarterStatus.NOT_IN_FEED),
        StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, name="ada", others=("eve",))),
    ],
)
def test_json_round_trip_keeps_the_value(value: StartedBy) -> None:
    assert asdict(value)["knowledge"] == value.knowledge  # a key that the audit log has
    assert starter_from_json(json.dumps(asdict(value))) == value


def test_known_starter_is_replaced_by_another_and_never_by_less() -> None:
    known = StartedBy(StarterStatus.KNOWN, ADA)
    probable = StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, certain=False))
    absent, unread = StartedBy(StarterStatus.NOT_IN_FEED), StartedBy(StarterStatus.NOT_KNOWN)
    assert known.supersedes(probable)
    assert probable.supersedes(known)
    assert probable.supersedes(absent)
    assert absent.supersedes(unread)
    assert not unread.supersedes(absent)
    assert not known.supersedes(known)
