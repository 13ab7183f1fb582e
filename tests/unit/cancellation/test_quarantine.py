"""Which downloads are quarantined, how long, and their state at the end."""

from datetime import timedelta
from typing import Any

import pytest

from bot.atlas import RestoreJob
from bot.cancellation.job import REFUSED_BEFORE, SENT_BEFORE
from bot.cancellation.lifecycle import DeleteAttempts, Ending, Outcome, State
from bot.cancellation.policy import Mode, Policy, is_expected
from bot.cancellation.quarantine import (
    LIMIT_REACHED,
    LONGEST_SILENCE,
    NO_LONGER,
    TRIED_FOR,
    WOULD_HAVE,
    GraceClock,
    after_fault,
    ending,
    try_again_at,
)
from bot.cancellation.starter import (
    NOT_READ,
    StartedBy,
    Starter,
    StarterKind,
    StarterStatus,
    is_candidate,
)
from tests.support.clock import NOON
from tests.support.domain import a_job, a_request

GRACE = timedelta(seconds=90)
ENFORCED = Policy(quarantine=Mode.ENFORCE, quarantine_expected=frozenset({"etl@shop.example"}))


def by(name: str, *others: str) -> StartedBy:
    starter = Starter(kind=StarterKind.USER, name=name, certain=not others, others=others)
    return StartedBy(StarterStatus.KNOWN, starter)


def a_starter(**fields: Any) -> StartedBy:
    values = {"kind": StarterKind.USER, "name": "etl@shop.example", **fields}
    return StartedBy(StarterStatus.KNOWN, Starter(**values))


@pytest.mark.parametrize(
    ("started_by", "expected"),
    [
        (by("ETL@shop.example"), True),
        (by("mallory@shop.example"), False),
        (by("etl@shop.example", "mallory@shop.example"), False),
        (a_starter(certain=False), False),
        (a_starter(kind=StarterKind.OAUTH_APP), False),
        (by(""), False),
        (NOT_READ, False),
        (StartedBy(StarterStatus.NOT_KNOWN), False),
    ],
)
def test_starter_is_expected_only_if_certain_and_listed(
    started_by: StartedBy, expected: bool
) -> None:
    assert is_expected(ENFORCED, started_by) is expected


def test_atlas_user_is_compared_with_every_candidate_in_any_case() -> None:
    assert is_candidate(by("a@shop.example", "B@shop.example"), "b@SHOP.example")
    assert not is_candidate(by("a@shop.example"), "b@shop.example")
    assert not is_candidate(by("a@shop.example"), None)
    assert not is_candidate(NOT_READ, "a@shop.example")


def test_user_for_whom_an_application_acted_is_a_candidate() -> None:
    assert is_candidate(by("Some tool for A@shop.example"), "a@shop.example")
    assert not is_candidate(by("Some tool for aa@shop.example"), "a@shop.example")


@pytest.mark.parametrize(
    ("mode", "started_by", "job", "cancelled", "state"),
    [
        (Mode.ENFORCE, NOT_READ, a_job(), 0, State.APPROVED),
        (Mode.ENFORCE, NOT_READ, None, 0, State.APPROVED),
        (Mode.ENFORCE, by("etl@shop.example"), a_job(), 0, State.KEPT),
        (Mode.ENFORCE, a_starter(certain=False), a_job(), 0, State.APPROVED),
        (Mode.ENFORCE, NOT_READ, a_job(cancelled=True), 0, State.OVER),
        (Mode.ENFORCE, NOT_READ, a_job(), 3, State.OBSERVED),
        (Mode.OBSERVE, NOT_READ, a_job(), 0, State.OBSERVED),
        (Mode.OBSERVE, by("etl@shop.example"), a_job(), 0, State.KEPT),
        (Mode.OFF, NOT_READ, a_job(), 0, State.OBSERVED),
    ],
)
def test_end_of_the_grace_time_depends_on_mode_starter_job_and_limit(
    mode: Mode, started_by: StartedBy, job: RestoreJob | None, cancelled: int, state: State
) -> None:
    policy = Policy(quarantine=mode, quarantine_expected=ENFORCED.quarantine_expected)

    assert ending(policy, a_request(), started_by, job, cancelled).state is state


@pytest.mark.parametrize(
    ("mode", "limit", "sent", "sentences"),
    [
        (Mode.OBSERVE, 3, DeleteAttempts(), WOULD_HAVE),
        (Mode.OBSERVE, 3, DeleteAttempts(count=1), f"{NO_LONGER} {REFUSED_BEFORE}"),
        (Mode.OFF, 3, DeleteAttempts(), f"{NO_LONGER} Nothing was sent."),
        (Mode.OFF, 3, DeleteAttempts(count=8, unknown=True), f"{NO_LONGER} {SENT_BEFORE}"),
        (Mode.ENFORCE, 0, DeleteAttempts(count=1), LIMIT_REACHED.format(limit=0)),
    ],
)
def test_end_without_a_cancellation_says_why_and_what_was_sent(
    mode: Mode, limit: int, sent: DeleteAttempts, sentences: str
) -> None:
    policy = Policy(quarantine=mode, quarantine_limit=limit)
    end = ending(policy, a_request(sent=sent), NOT_READ, a_job(), 0)

    assert end.outcome.sentence.startswith(sentences)


def test_run_reads_whether_a_delete_whose_answer_was_lost_ended_the_download() -> None:
    request = a_request(sent=DeleteAttempts(count=1, unknown=True))

    assert ending(ENFORCED, request, NOT_READ, a_job(cancelled=True), 0).state is State.APPROVED


@pytest.mark.parametrize(
    ("state", "status", "changes", "age", "goes_on"),
    [
        (State.FAILED, 503, {}, timedelta(), True),
        (State.REFUSED, 401, {}, timedelta(), True),
        (State.REFUSED, 403, {"sent": DeleteAttempts(count=1, unknown=True)}, timedelta(), True),
        (State.REFUSED, 400, {}, timedelta(), False),
        (State.CANCELLED, None, {}, timedelta(), False),
        (State.FAILED, 503, {"requester": "U0RINA"}, timedelta(), False),
        (State.FAILED, 503, {"sent": DeleteAttempts(count=1, accepted=True)}, timedelta(), False),
        (State.FAILED, 503, {}, TRIED_FOR, False),
    ],
)
def test_bots_own_request_is_tried_again_after_a_fault_unless_a_delete_was_accepted(
    state: State, status: int | None, changes: dict[str, Any], age: timedelta, goes_on: bool
) -> None:
    request = a_request(**{"requester": "", **changes})
    end = Ending(state, Outcome(status=status))
    again = Ending(State.QUARANTINED, Outcome(status=status, tries_again=True))

    found = after_fault(request, end, request.ref.started_at + age)
    assert found == (again if goes_on else end)


def test_pauses_between_tries_after_a_fault_grow_with_the_age_of_the_download() -> None:
    ref = a_request().ref
    pauses = {}
    for age in (180, 1200):
        now = ref.started_at + timedelta(seconds=age)
        pauses[age] = (try_again_at(ref, now) - now).total_seconds()

    assert pauses == {180: 30, 1200: 120}


def goes_on(clock: GraceClock, seconds: float) -> bool:
    return bool(clock.going_on(["r"], NOON + timedelta(seconds=seconds)))


def test_grace_time_begins_at_the_first_answer_and_goes_on() -> None:
    clock = GraceClock()

    assert [goes_on(clock, 1000.0), goes_on(clock, 1001.0)] == [False, True]


def test_interruption_starts_every_grace_time_again() -> None:
    clock = GraceClock()
    goes_on(clock, 0.0)
    clock.interrupt()

    assert [goes_on(clock, 1.0), goes_on(clock, 2.0)] == [False, True]


@pytest.mark.parametrize("seconds", [LONGEST_SILENCE.total_seconds() + 1, -1.0])
def test_silence_without_an_error_or_a_clock_that_was_set_counts_as_interruption(
    seconds: float,
) -> None:
    clock = GraceClock()
    goes_on(clock, 0.0)

    assert not goes_on(clock, seconds)
