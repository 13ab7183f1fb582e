"""The expected time of a download link, and the texts of its clock."""

from datetime import timedelta

from bot.atlas import JobState
from bot.cancellation.job_facts import USUAL_WAIT, JobFacts, Lead, LinkPhase, expected_wait
from tests.support.clock import NOON


def seconds(*values: float) -> list[timedelta]:
    return [timedelta(seconds=value) for value in values]


def a_clock(**changes: object) -> JobFacts:
    values = {"started_at": NOON, "expected_at": NOON + timedelta(minutes=3)} | changes
    return JobFacts(**values)  # type: ignore[arg-type]


def test_fewer_than_five_waits_give_three_minutes() -> None:
    assert expected_wait(seconds(60, 60, 60, 60)) == USUAL_WAIT


def test_five_waits_give_their_median() -> None:
    assert expected_wait(seconds(100, 300, 120, 110, 9000)) == timedelta(seconds=120)


def test_wait_of_an_id_without_a_time_does_not_count() -> None:
    assert expected_wait(seconds(100, 100, 100, 100, -5, 10**9)) == USUAL_WAIT


def test_link_is_overdue_from_the_expected_time_on() -> None:
    clock = a_clock()
    assert clock.at(NOON + timedelta(seconds=179)).phase is LinkPhase.EXPECTED
    assert clock.at(NOON + timedelta(seconds=180)).phase is LinkPhase.OVERDUE


def test_live_link_ends_with_its_hour_or_with_the_job() -> None:
    live = {"live_since": NOON, "until": NOON + timedelta(hours=1)}
    assert a_clock(**live).at(NOON + timedelta(minutes=59)).phase is LinkPhase.LIVE
    assert a_clock(**live).at(NOON + timedelta(minutes=60)).phase is LinkPhase.ENDED
    assert a_clock(**live, ended=JobState.CANCELLED).at(NOON).phase is LinkPhase.ENDED


def test_used_link_keeps_its_time_until_the_job_ends() -> None:
    expiry = NOON + timedelta(hours=1)
    used = a_clock().with_link(expiry, JobState.LINK_USED)
    later = used.with_link(None, JobState.IN_PROGRESS).at(NOON + timedelta(hours=2))
    ended = later.with_link(expiry, JobState.EXPIRED).at(NOON)
    assert (later.phase, later.live_since) == (LinkPhase.USED, NOON)
    assert (ended.phase, ended.live_since) == (LinkPhase.ENDED, NOON)


def test_lead_counts_to_the_live_link_else_to_the_expected_one() -> None:
    then = NOON + timedelta(minutes=2)
    live = a_clock(live_since=NOON + timedelta(seconds=108))
    assert Lead.of(a_clock().link_times(), then) == Lead(timedelta(minutes=1), was_live=False)
    assert Lead.of(live.link_times(), then) == Lead(timedelta(seconds=-12), was_live=True)
    assert Lead.of({}, then) is None
