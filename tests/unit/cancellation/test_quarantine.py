"""Which downloads are quarantined, how long, and their state at the end."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.atlas import RestoreJob
from bot.cancellation.lifecycle import State
from bot.cancellation.quarantine import (
    LONGEST_SILENCE,
    GraceClock,
    Mode,
    QuarantinePolicy,
    ending,
    ending_before_delete,
    is_candidate,
    is_expected,
)
from bot.cancellation.starter import NOT_READ, StartedBy, Starter, StarterKind, StarterStatus
from tests.support.clock import NOON
from tests.support.domain import a_job

GRACE = timedelta(seconds=90)
ENFORCED = QuarantinePolicy(mode=Mode.ENFORCE, expected=frozenset({"etl@shop.example"}))


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
    policy = QuarantinePolicy(mode=mode, expected=ENFORCED.expected)

    assert ending(policy, started_by, job, cancelled).state is state


def test_ending_in_observe_differs_from_that_in_off() -> None:
    observed = ending(QuarantinePolicy(mode=Mode.OBSERVE), NOT_READ, a_job(), 0)
    off = ending(QuarantinePolicy(mode=Mode.OFF), NOT_READ, a_job(), 0)

    assert "would have cancelled" in observed.outcome.sentence
    assert "policy of today" in off.outcome.sentence


def test_delete_is_allowed_only_while_it_is_enforced() -> None:
    assert ending_before_delete(ENFORCED, NOT_READ) is None
    assert ending_before_delete(QuarantinePolicy(), NOT_READ) is not None
    kept = ending_before_delete(ENFORCED, by("etl@shop.example"))
    assert kept is not None
    assert kept.state is State.KEPT


def measure(clock: GraceClock, now: float, entered: datetime = NOON) -> float:
    stay = ("r", entered, False)
    return clock.measure({stay: GRACE}, now)[stay]


def test_grace_time_begins_at_the_first_answer_and_goes_on() -> None:
    clock = GraceClock()

    assert measure(clock, 1000.0) == 90.0
    assert measure(clock, 1001.0) == 89.0


def test_interruption_starts_every_grace_time_again() -> None:
    clock = GraceClock()
    measure(clock, 0.0)
    clock.interrupt()

    assert measure(clock, 80.0) == 90.0
    assert measure(clock, 81.0) == 89.0


def test_request_that_left_quarantine_and_is_back_has_a_full_grace_time() -> None:
    clock = GraceClock()
    measure(clock, 0.0)

    assert measure(clock, 3.0, entered=NOON + timedelta(seconds=2)) == 90.0


def test_silence_without_an_error_counts_as_interruption() -> None:
    clock = GraceClock()
    measure(clock, 0.0)

    assert measure(clock, LONGEST_SILENCE + 1) == 90.0


@dataclass(slots=True)
class Visible:
    """How long people could see a card without interruption, measured from outside."""

    since: float | None = None
    ends: list[float] = field(default_factory=list)


@pytest.mark.parametrize("seed", range(40))
def test_no_grace_time_ends_early_or_late_with_random_interruptions_of_slack(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    clock, now = GraceClock(), 0.0
    seen = Visible()
    for _ in range(500):
        now += chance.choice([0.5, 1.0, 1.0, 1.5, chance.uniform(0.0, LONGEST_SILENCE * 2)])
        if chance.random() < 0.02:
            clock.interrupt()
            seen.since = None
            continue
        gone = seen.ends and now - seen.ends[-1] > LONGEST_SILENCE
        if seen.since is None or gone:
            seen.since = now
        seen.ends.append(now)
        left = measure(clock, now)
        assert left == pytest.approx(90.0 - (now - seen.since), abs=1e-6)
