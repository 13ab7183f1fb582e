"""The next step of a run after a GET, the fingerprint, and the transitions."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from bot.cancellation.lifecycle import DeleteAttempts, JobFingerprint, Step, next_step
from tests.support.clock import NOON
from tests.support.domain import SHOWN, a_job

UNSENT = DeleteAttempts()
ACCEPTED = DeleteAttempts(count=1, accepted=True)
UNKNOWN = DeleteAttempts(count=1, unknown=True)
REFUSED = DeleteAttempts(count=1)


@pytest.mark.parametrize("sent", [UNSENT, REFUSED])
def test_job_cancelled_by_other_means_is_over(sent: DeleteAttempts) -> None:
    assert next_step(SHOWN, sent, a_job(cancelled=True)) is Step.OVER


@pytest.mark.parametrize("sent", [UNSENT, UNKNOWN, ACCEPTED, REFUSED])
def test_job_that_reads_cancelled_and_failed_is_over(sent: DeleteAttempts) -> None:
    assert next_step(SHOWN, sent, a_job(cancelled=True, failed=True)) is Step.OVER


def test_accepted_delete_is_awaited_and_not_repeated() -> None:
    assert next_step(SHOWN, ACCEPTED, a_job()) is Step.WAIT


@pytest.mark.parametrize(
    "end", [{"expired": True}, {"failed": True}, {"finishedAt": "2026-11-25T11:00:00Z"}]
)
@pytest.mark.parametrize("sent", [UNSENT, UNKNOWN, ACCEPTED, REFUSED])
def test_job_that_ended_by_itself_is_over(end: dict[str, object], sent: DeleteAttempts) -> None:
    assert next_step(SHOWN, sent, a_job(**end)) is Step.OVER


@pytest.mark.parametrize("links", [["https://example.invalid/x"], []], ids=["live", "used"])
def test_link_that_became_live_or_was_used_is_not_a_change(links: list[str]) -> None:
    job = a_job(deliveryUrl=links, expiresAt="2026-11-25T13:00:00Z")

    assert JobFingerprint.of(job).link_existed
    assert next_step(SHOWN, UNSENT, job) is Step.SEND


@pytest.mark.parametrize(
    "shown",
    [
        replace(SHOWN, snapshot_id="f" * 24),
        replace(SHOWN, snapshot_time=NOON),
        replace(SHOWN, snapshot_time=None),
        replace(SHOWN, delivery_type="automated"),
        replace(SHOWN, cancellable=False),
        replace(SHOWN, target="p/other"),
    ],
)
def test_each_compared_field_is_a_change(shown: JobFingerprint) -> None:
    assert next_step(shown, UNSENT, a_job()) is Step.CHANGED


@pytest.mark.parametrize(
    ("cancelled", "over", "same", "accepted", "unknown"), list(product([False, True], repeat=5))
)
def test_delete_is_sent_only_for_an_unchanged_open_job(
    *, cancelled: bool, over: bool, same: bool, accepted: bool, unknown: bool
) -> None:
    shown = SHOWN if same else replace(SHOWN, snapshot_id="f" * 24)
    sent = DeleteAttempts(count=1, accepted=accepted, unknown=unknown)
    job = a_job(cancelled=cancelled, expired=over)
    step = next_step(shown, sent, job)

    assert (step is Step.SEND) == (not cancelled and not over and same and not accepted)
    assert (step is Step.CANCELLED) == (cancelled and (accepted or unknown))


def test_fingerprint_has_target_and_link_of_the_job() -> None:
    live = a_job(deliveryUrl=["https://example.invalid/x"], expiresAt="2026-11-25T13:00:00Z")
    restore = a_job(deliveryType="automated", targetClusterName="x", targetGroupId="p")
    elsewhere = a_job(deliveryType="automated", targetClusterName="x")
    unnamed = a_job(deliveryType="automated", targetGroupId="p")
    shown = JobFingerprint.of(live)
    assert (shown.link_is_live, shown.expires_at) == (True, NOON + timedelta(hours=1))
    assert JobFingerprint.of(restore).target == "p/x"
    assert JobFingerprint.of(elsewhere).target == "?/x"
    assert JobFingerprint.of(unnamed).target == "p/?"
