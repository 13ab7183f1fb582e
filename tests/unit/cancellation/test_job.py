"""What reads change of a job, the clock of its link, and the comparison of a cluster's jobs."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.atlas import JobState, RestoreJob
from bot.cancellation.job import (
    LONGEST_READ,
    LONGEST_UNSEEN,
    USUAL_WAIT,
    Job,
    LinkPhase,
    Listing,
    compare,
    end_of_wait,
    expected_wait,
)
from bot.cancellation.lifecycle import DeleteAttempts, JobFingerprint, State
from bot.cancellation.posts import Lead, lead_of
from tests.support.clock import NOON
from tests.support.domain import a_job, a_request, job_ref

LINK = ["https://x.invalid/y"]
LATER = NOON + LONGEST_READ
EXPIRY = NOON + timedelta(hours=1)
ONE = f"{1:024x}"


def seconds(*values: float) -> list[timedelta]:
    return [timedelta(seconds=value) for value in values]


def read(number: int = 1, **changes: Any) -> RestoreJob:
    return a_job(id=f"{number:024x}", **changes)


def known(state: JobState, *, announced: bool = True, **changes: Any) -> Job:
    """Return a job that the watch has listed."""
    times = {"first_seen_at": NOON, "changed_at": NOON, "expected_at": NOON + USUAL_WAIT}
    values: dict[str, Any] = {"shown": JobFingerprint.of(read()), "version": int(announced)}
    return Job(ref=job_ref(ONE), state=state, **times | values | changes)


def found(
    *reads: RestoreJob, before: Job | None = None, now: datetime = LATER, **options: Any
) -> list[tuple[str, JobState]]:
    """Return the announced changes of a list of jobs, newest first, by the ends of their ids."""
    jobs = {job.ref.job_id: job for job in [before] if job}
    new = {each.id: Job.new(job_ref(each.id), USUAL_WAIT, now) for each in reads}
    listing = Listing(jobs={each.id: each for each in reads}, now=now, read_at=now, **options)
    changes = compare(listing, new | jobs)
    return [(job.ref.job_id[-1], job.state) for job in changes if job.version]


# The clock of a link


def test_fewer_than_five_waits_give_three_minutes() -> None:
    assert expected_wait(seconds(60, 60, 60, 60)) == USUAL_WAIT


def test_five_waits_give_their_median() -> None:
    assert expected_wait(seconds(100, 300, 120, 110, 9000)) == timedelta(seconds=120)


def test_wait_of_an_id_without_a_time_does_not_count() -> None:
    assert expected_wait(seconds(100, 100, 100, 100, -5, 10**9)) == USUAL_WAIT


def test_link_is_overdue_from_the_expected_time_on() -> None:
    job = known(JobState.IN_PROGRESS)
    assert job.at(NOON + timedelta(seconds=179)).phase is LinkPhase.EXPECTED
    assert job.at(NOON + timedelta(seconds=180)).phase is LinkPhase.OVERDUE


def test_live_link_ends_with_its_hour_or_with_the_job() -> None:
    live = known(JobState.LINK_LIVE, live_since=NOON, until=EXPIRY)
    assert live.at(EXPIRY - timedelta(minutes=1)).phase is LinkPhase.LIVE
    assert live.at(EXPIRY).phase is LinkPhase.ENDED
    assert replace(live, state=JobState.CANCELLED).at(NOON).phase is LinkPhase.ENDED


def test_used_link_keeps_its_time_until_the_job_ends() -> None:
    used = known(JobState.IN_PROGRESS).observe(NOON, read(expiresAt=EXPIRY))
    later = used.observe(NOON + timedelta(hours=2), read())
    ended = later.observe(NOON + timedelta(hours=2), read(expiresAt=EXPIRY, expired=True))
    assert (used.phase, used.live_since) == (LinkPhase.USED, NOON)
    assert (later.phase, later.live_since) == (LinkPhase.USED, NOON)
    assert (ended.phase, ended.live_since) == (LinkPhase.ENDED, NOON)


def test_link_without_the_time_of_its_end_is_live_since_it_was_first_read() -> None:
    live = known(JobState.IN_PROGRESS).observe(NOON, read(deliveryUrl=["https://x.test"]))
    used = live.observe(LATER, read())
    timed = live.observe(LATER, read(deliveryUrl=["https://x.test"], expiresAt=EXPIRY))
    assert (live.phase, live.live_since, live.until) == (LinkPhase.LIVE, NOON, None)
    assert (used.phase, used.live_since) == (LinkPhase.USED, NOON)
    assert (timed.live_since, timed.until) == (NOON, EXPIRY)


@pytest.mark.parametrize(
    ("read_at", "is_unknown"),
    [
        (NOON - LONGEST_UNSEEN, False),
        (NOON - LONGEST_UNSEEN - timedelta(seconds=1), True),
        (NOON + LONGEST_UNSEEN + timedelta(seconds=1), True),  # a clock was set back
        (None, True),
    ],
)
@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_link_of_a_download_that_ended_unread_is_not_known_to_have_been_live(
    end: str, read_at: datetime | None, is_unknown: bool
) -> None:
    job = known(JobState.IN_PROGRESS, read_at=read_at)
    cancelled = job.observe(NOON, read(**{end: True}), read_at=NOON)
    later = cancelled.observe(NOON, read(**{end: True}, expiresAt=EXPIRY))

    assert cancelled.observe(LATER, read(**{end: True})).link_unknown is is_unknown
    assert (lead_of(a_request(state=State.CANCELLED), cancelled) is None) is is_unknown
    assert lead_of(a_request(state=State.CANCELLED), later) is not None


@pytest.mark.parametrize(("lived", "is_unknown"), [(0, False), (20, False), (21, True), (-1, True)])
def test_download_that_ended_as_soon_as_it_began_had_no_link(lived: int, is_unknown: bool) -> None:
    job = known(JobState.IN_PROGRESS, read_at=None)
    ended = read(cancelled=True, finishedAt=job.ref.started_at + timedelta(seconds=lived))

    assert job.observe(NOON, ended).link_unknown is is_unknown


def test_lead_counts_to_the_live_link_else_to_the_expected_one() -> None:
    request = a_request(state=State.CANCELLED, changed_at=NOON + timedelta(minutes=2))
    job = known(JobState.CANCELLED)
    live = replace(job, live_since=NOON + timedelta(seconds=108))
    assert lead_of(request, job) == Lead(timedelta(minutes=1), was_live=False)
    assert lead_of(request, live) == Lead(timedelta(seconds=-12), was_live=True)
    assert lead_of(replace(request, state=State.OVER), job) is None


@pytest.mark.parametrize("state", JobState)
def test_request_that_waits_in_vain_is_over_only_where_atlas_showed_the_end(
    state: JobState,
) -> None:
    request = a_request(state=State.AWAITING)
    end = end_of_wait(request, known(state, until=NOON))
    is_shown = state.is_over and state is not JobState.GONE

    assert end.state is (State.OVER if is_shown else State.EXPIRED)
    assert end.outcome.sentence.startswith("Nothing was sent" if is_shown else "")


def test_end_after_a_delete_of_the_request_does_not_say_that_nothing_was_sent() -> None:
    request = a_request(state=State.AWAITING, sent=DeleteAttempts(count=1, unknown=True))
    end = end_of_wait(request, known(JobState.CANCELLED))

    assert end.outcome.sentence == (
        "The download has ended, after this request had asked Atlas to cancel it. "
        "The download is cancelled."
    )


# Reads


def test_read_that_began_before_a_change_was_recorded_does_not_undo_it() -> None:
    live = known(JobState.IN_PROGRESS).observe(LATER, read(deliveryUrl=LINK, expiresAt=EXPIRY))
    cancelled = live.observe(LATER, read(cancelled=True))

    assert live.observe(LATER, read(), read_at=NOON) == live
    assert cancelled.observe(LATER, read(deliveryUrl=LINK), read_at=NOON) == cancelled
    assert live.observe(LATER, read()).state is JobState.LINK_LIVE, "it may have begun before"
    assert live.observe(LATER, read(), read_at=LATER).state is JobState.LINK_USED


def test_new_jobs_are_announced_oldest_first() -> None:
    assert found(read(2, deliveryUrl=LINK), read(1), first=True) == [
        ("1", JobState.IN_PROGRESS),
        ("2", JobState.LINK_LIVE),
    ]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"deliveryUrl": LINK}, JobState.LINK_LIVE),
        ({"expiresAt": "2026-11-25T13:00:00Z"}, JobState.LINK_USED),
        ({"cancelled": True}, JobState.CANCELLED),
        ({"expired": True}, JobState.EXPIRED),
        ({"failed": True}, JobState.FAILED),
        ({"failed": True, "cancelled": True}, JobState.FAILED),
        ({"finishedAt": "2026-11-25T11:00:00Z"}, JobState.FINISHED),
    ],
)
def test_changes_of_an_announced_job_are_announced(change: dict[str, Any], state: JobState) -> None:
    assert found(read(**change), before=known(JobState.IN_PROGRESS)) == [("1", state)]


def test_link_that_was_live_counts_as_used_when_nothing_is_left_of_it() -> None:
    assert found(read(), before=known(JobState.LINK_LIVE)) == [("1", JobState.LINK_USED)]
    assert found(read(), before=known(JobState.LINK_USED)) == []


def test_job_that_started_and_ended_between_two_reads_is_announced_unless_it_is_history() -> None:
    assert found(read(expired=True)) == [("1", JobState.EXPIRED)]
    assert found(read(expired=True), first=True) == []


def test_unchanged_job_is_not_announced_again() -> None:
    assert found(read(), before=known(JobState.IN_PROGRESS)) == []


def test_job_that_was_recorded_before_the_watch_listed_it_is_new() -> None:
    before = known(JobState.IN_PROGRESS, announced=False, shown=None)

    assert found(read(), before=before) == [("1", JobState.IN_PROGRESS)]
    assert found(before=before) == [], "only what was listed can be gone"


def test_open_job_that_is_no_longer_listed_is_announced_as_gone() -> None:
    assert found(before=known(JobState.LINK_LIVE)) == [("1", JobState.GONE)]
    assert found(read(), before=known(JobState.GONE)) == [("1", JobState.IN_PROGRESS)]


@pytest.mark.parametrize("state", [state for state in JobState if state.is_over])
def test_ended_job_that_is_no_longer_listed_is_no_change(state: JobState) -> None:
    assert found(before=known(state)) == []


def test_change_of_an_unannounced_job_is_announced_only_if_it_can_be_cancelled() -> None:
    before = known(JobState.EXPIRED, announced=False)

    assert found(read(failed=True), before=before) == []
    assert found(read(), before=before) == [("1", JobState.IN_PROGRESS)]


@pytest.mark.parametrize("unread", [[ONE], [""]], ids=["its id", "an item without id"])
def test_job_that_cannot_be_read_is_not_gone(unread: list[str]) -> None:
    before = known(JobState.IN_PROGRESS)

    assert found(read(2), before=before, unread=unread) == [("2", JobState.IN_PROGRESS)]
    assert ("1", JobState.GONE) in found(read(2), before=before)
