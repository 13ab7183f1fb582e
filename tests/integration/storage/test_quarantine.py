"""Quarantined downloads over a real database: stored with the watched job, ended once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bot.atlas import JobRef
from bot.cancellation.errors import AlreadyHandled
from bot.cancellation.lifecycle import JobFingerprint, State
from bot.cancellation.policy import Policy
from bot.cancellation.quarantine import Mode, QuarantinePolicy
from bot.storage.audit_log import AuditLog
from tests.integration.storage.quarantine_bench import CLUSTER, Bench, Replica
from tests.support.domain import ADA, PROJECT_ID, RINA, a_request, a_waiting_request, allow, job_ref

if TYPE_CHECKING:
    from bot.storage.database import Database

GRACE = 20
ENFORCED = QuarantinePolicy(
    mode=Mode.ENFORCE,
    grace=timedelta(seconds=GRACE),
    expected=frozenset({"etl@shop.example"}),
    limit=1000,
)


@pytest.fixture
async def bench(database: Database) -> Bench:
    bench = Bench(database, ENFORCED)
    await bench.start()
    return bench


async def quarantined(bench: Bench, number: int = 1) -> str:
    """Start a download, and return its id once its card is delivered."""
    job_id = bench.begin(number)
    await bench.read_jobs()
    await bench.second()
    assert await bench.state(job_id) is State.QUARANTINED
    return job_id


async def pass_seconds(bench: Bench, seconds: int) -> None:
    for _ in range(seconds):
        await bench.second()


async def pass_seconds_without_slack(bench: Bench, seconds: int) -> float:
    """Return when Slack is back, in monotonic seconds."""
    bench.slack_is_up = False
    await pass_seconds(bench, seconds)
    bench.slack_is_up = True
    return bench.clock.elapsed


async def test_new_download_is_cancelled_once_within_ten_seconds_of_its_grace_time(
    bench: Bench,
) -> None:
    job_id = await quarantined(bench)
    await pass_seconds(bench, GRACE + 10)

    assert GRACE <= bench.seconds_held(job_id) <= GRACE + 10
    assert await bench.state(job_id) is State.CANCELLED
    assert await AuditLog(bench.database).verify() == []


async def test_downloads_of_the_first_read_are_not_quarantined(database: Database) -> None:
    bench = Bench(database, ENFORCED)
    old = bench.begin(1)
    await bench.start()
    await pass_seconds(bench, GRACE + 5)

    assert await bench.state(old) is None
    assert bench.deletes(old) == []


async def test_download_that_began_while_the_bot_was_down_has_its_full_grace_time(
    bench: Bench,
) -> None:
    job_id = bench.begin(1)
    bench.clock.advance(3600)
    bench.replicas = [Replica(bench, "two")]
    bench.clock.advance(60)  # the lease of the first process has run out
    await bench.read_jobs()
    await pass_seconds(bench, GRACE + 5)

    assert bench.seconds_held(job_id) >= GRACE


@pytest.mark.parametrize("changes", [{"deliveryType": "automated"}, {"cancelled": True}])
async def test_other_jobs_are_not_quarantined(bench: Bench, changes: dict[str, object]) -> None:
    job_id = bench.begin(1, **changes)
    await bench.read_jobs()

    assert await bench.state(job_id) is None


async def test_observed_download_is_not_cancelled(database: Database) -> None:
    bench = Bench(database, replace(ENFORCED, mode=Mode.OBSERVE))
    await bench.start()
    job_id = await quarantined(bench)
    await pass_seconds(bench, GRACE + 5)

    assert await bench.state(job_id) is State.OBSERVED
    assert bench.deletes(job_id) == []
    assert await AuditLog(bench.database).verify() == []


async def test_kept_download_goes_on_and_a_second_decision_gets_the_name_of_the_first_approver(
    bench: Bench,
) -> None:
    job_id = await quarantined(bench)
    request = await bench.request(job_id)
    kept = await bench.requests.decide(request.id, State.KEPT, ADA, allow, reason="audit")
    await pass_seconds(bench, GRACE + 5)

    assert kept.outcome.by == ADA.id
    assert bench.deletes(job_id) == []
    with pytest.raises(AlreadyHandled):
        await bench.requests.decide(request.id, State.KEPT, RINA, allow, reason="me too")
    assert await AuditLog(bench.database).verify() == []


async def test_expected_starter_who_is_known_late_keeps_the_download(bench: Bench) -> None:
    job_id = bench.begin(1)
    bench.show_starter(job_id, "ETL@shop.example", delay=GRACE - 2)
    await bench.read_jobs()
    await pass_seconds(bench, GRACE + 5)

    assert await bench.state(job_id) is State.KEPT
    assert (await bench.request(job_id)).outcome.by is None


async def test_expected_starter_ends_the_quarantine_once_all_clusters_were_read_after_the_event(
    bench: Bench,
) -> None:
    job_id = await quarantined(bench)
    bench.show_starter(job_id, "ETL@shop.example")
    facts = bench.replicas[0].facts
    await pass_seconds(bench, 4)
    await bench.read_jobs()
    await facts.follow()
    await bench.second()
    too_early = await bench.state(job_id)
    await bench.read_jobs()
    await facts.follow()
    await bench.second()

    assert [too_early, await bench.state(job_id)] == [State.QUARANTINED, State.KEPT]


async def test_event_of_an_expected_starter_whose_job_is_not_listed_yet_keeps_no_other_download(
    bench: Bench,
) -> None:
    unexpected = await quarantined(bench)
    expected = bench.begin(2)
    bench.show_starter(expected, "ETL@shop.example")
    facts = bench.replicas[0].facts
    await facts.follow()
    by = (await facts.starter_of(JobRef(PROJECT_ID, CLUSTER, unexpected))).starter
    await pass_seconds(bench, 7)
    await bench.read_jobs()
    await facts.follow()
    await pass_seconds(bench, 1)
    early = [await bench.state(each) for each in (unexpected, expected)]
    await pass_seconds(bench, GRACE + 10)

    assert by
    assert (by.name, by.certain) == ("ETL@shop.example", True)
    assert early == [State.QUARANTINED, State.KEPT]
    assert await bench.state(unexpected) is State.CANCELLED


async def test_event_of_an_expected_starters_automated_restore_keeps_no_download(
    bench: Bench,
) -> None:
    job_id = bench.begin(1)
    automated = bench.begin(5, deliveryType="automated")
    bench.show_starter(automated, "ETL@shop.example")
    await bench.read_jobs()
    await pass_seconds(bench, 7)
    await bench.read_jobs()
    await bench.replicas[0].facts.follow()
    await pass_seconds(bench, GRACE + 10)

    assert await bench.state(job_id) is State.CANCELLED


async def test_expected_starter_whose_event_may_be_another_jobs_is_not_cancelled(
    bench: Bench,
) -> None:
    job_id = await quarantined(bench)
    bench.show_starter(job_id, "ETL@shop.example")
    await bench.replicas[0].facts.follow()
    await pass_seconds(bench, GRACE - 2)
    before = await bench.state(job_id)
    await pass_seconds(bench, 5)

    assert [before, await bench.state(job_id)] == [State.QUARANTINED, State.KEPT]


async def test_reads_that_are_ahead_of_the_clock_leave_the_jobs_unknown(bench: Bench) -> None:
    bench.clock.jump(-600)
    job_id = bench.begin(1)
    ref = job_ref(job_id)
    bench.show_starter(job_id, "ETL@shop.example")
    by = await bench.replicas[0].facts.starter_of(ref)

    assert by.starter
    assert not by.jobs_known


async def test_starter_is_corrected_once_the_other_job_of_the_event_is_listed(bench: Bench) -> None:
    job_id = await quarantined(bench)
    bench.show_starter(bench.begin(2), "dana@shop.example")
    facts, ref = bench.replicas[0].facts, job_ref(job_id)
    await facts.follow()
    before = (await facts.starter_of(ref)).starter
    await bench.read_jobs()
    bench.clock.advance(7)
    await facts.follow()
    after = (await facts.starter_of(ref)).starter

    assert before
    assert after
    assert (before.name, before.certain) == ("dana@shop.example", True)
    assert (after.name, after.certain) == ("dana@shop.example", False)


async def test_job_that_ended_by_itself_is_over(bench: Bench) -> None:
    job_id = await quarantined(bench)
    bench.atlas.change(job_id, failed=True)
    await pass_seconds(bench, GRACE + 5)

    assert await bench.state(job_id) is State.OVER
    assert bench.deletes(job_id) == []


async def test_nothing_is_cancelled_during_an_outage_of_slack_nor_before_a_new_grace_time(
    bench: Bench,
) -> None:
    job_id = await quarantined(bench)
    await pass_seconds(bench, GRACE - 3)
    back_at = await pass_seconds_without_slack(bench, 5)
    await pass_seconds(bench, GRACE + 5)

    assert bench.seconds_held(job_id, back_at) >= GRACE


@pytest.mark.parametrize("jump", [3600, -3600])
async def test_jump_of_the_clock_changes_no_grace_time(bench: Bench, jump: int) -> None:
    job_id = await quarantined(bench)
    bench.clock.jump(jump)
    await pass_seconds(bench, GRACE + 10)

    assert GRACE <= bench.seconds_held(job_id) <= GRACE + 10


async def test_next_process_goes_on_with_the_grace_time(bench: Bench) -> None:
    job_id = await quarantined(bench)
    await pass_seconds(bench, GRACE - 5)
    bench.replicas = [Replica(bench, "two")]
    await pass_seconds(bench, 12)

    assert GRACE <= bench.seconds_held(job_id) <= GRACE + 10


async def test_process_that_starts_after_an_outage_of_slack_begins_a_new_grace_time(
    bench: Bench,
) -> None:
    job_id = await quarantined(bench)
    await pass_seconds(bench, GRACE - 4)
    back_at = await pass_seconds_without_slack(bench, 3)
    bench.replicas = [Replica(bench, "two")]
    await pass_seconds(bench, GRACE + 5)

    assert bench.seconds_held(job_id, back_at) >= GRACE


async def test_replica_whose_grace_time_starts_again_edits_the_card_once_until_the_other_has_acted(
    bench: Bench,
) -> None:
    bench.replicas.append(Replica(bench, "two"))
    job_id = await quarantined(bench)
    await pass_seconds(bench, 6)
    before, edits = await bench.request(job_id), bench.edits
    bench.replicas[0].quarantine.clock.interrupt()
    await pass_seconds(bench, GRACE - 8)

    request = await bench.request(job_id)
    assert request.grace_ends_at == before.grace_ends_at
    assert bench.edits - edits <= 1
    await pass_seconds(bench, 8)
    assert GRACE <= bench.seconds_held(job_id) <= GRACE + 2


async def test_card_shows_the_later_end_once_the_replica_with_the_earlier_one_has_died(
    bench: Bench,
) -> None:
    bench.replicas.append(Replica(bench, "two"))
    job_id = await quarantined(bench)
    await pass_seconds(bench, GRACE - 6)
    bench.replicas[0].quarantine.clock.interrupt()
    await pass_seconds(bench, 2)
    del bench.replicas[1]
    await pass_seconds(bench, 14)

    request = await bench.request(job_id)
    assert request.state is State.QUARANTINED
    assert request.grace_ends_at
    left = (request.grace_ends_at - bench.clock.now).total_seconds()
    assert left > 0
    await pass_seconds(bench, int(left) + 2)
    assert len(bench.deletes(job_id)) == 1


async def test_downloads_beyond_the_limit_are_announced_only(database: Database) -> None:
    bench = Bench(database, replace(ENFORCED, limit=2))
    await bench.start()
    first, second = await quarantined(bench, 1), await quarantined(bench, 2)
    third = bench.begin(3)
    await bench.read_jobs()
    assert bench.limited == ["shop-prod"]
    assert await bench.state(third) is None

    kept = await bench.request(first)
    await bench.requests.decide(kept.id, State.KEPT, ADA, allow, reason="audit")
    fourth = await quarantined(bench, 4)
    await pass_seconds(bench, GRACE + 5)

    assert [bool(bench.deletes(job)) for job in (first, second, third, fourth)] == [
        *(False, True, False, True)
    ]


async def test_downloads_of_expected_starters_do_not_count_before_they_are_kept(
    database: Database,
) -> None:
    bench = Bench(database, replace(ENFORCED, limit=2))
    await bench.start()
    for number in (1, 2):
        bench.show_starter(await quarantined(bench, number), "ETL@shop.example")
    await bench.replicas[0].facts.follow()
    await quarantined(bench, 3)

    assert bench.limited == []


async def test_persons_request_that_waits_does_not_end_the_quarantine(bench: Bench) -> None:
    job_id = await quarantined(bench)
    held = await bench.request(job_id)
    waiting = a_request(ref=held.ref, state=State.AWAITING, approvals_needed=1)
    with pytest.raises(AlreadyHandled):
        await bench.requests.decide(held.id, State.WITHDRAWN, RINA, allow)
    with pytest.raises(Exception, match="already"):
        await bench.requests.create(waiting, RINA)

    at_once = await bench.requests.create(a_request(ref=held.ref), RINA)
    assert at_once.state is State.APPROVED
    assert (await bench.requests.get(held.id)).state is State.OVER
    assert await AuditLog(bench.database).verify() == []


@pytest.mark.parametrize(
    ("mode", "state"), [(Mode.ENFORCE, State.QUARANTINED), (Mode.OBSERVE, State.AWAITING)]
)
async def test_request_that_waits_before_the_watch_sees_the_job_does_not_shield_the_download(
    database: Database, mode: Mode, state: State
) -> None:
    bench = Bench(database, replace(ENFORCED, mode=mode))
    await bench.start()
    job_id = bench.begin(1)
    ref = job_ref(job_id)
    shown = JobFingerprint.of(bench.job(job_id))
    await bench.requests.create(a_waiting_request(ref=ref, shown=shown), RINA)
    await bench.second()
    await bench.read_jobs()

    assert await bench.state(job_id) is state
    await pass_seconds(bench, GRACE + 10)
    assert len(bench.deletes(job_id)) == (mode is Mode.ENFORCE)
    assert await AuditLog(database).verify() == []


async def test_policy_that_is_switched_off_during_the_grace_time_cancels_nothing(
    bench: Bench,
) -> None:
    job_id = await quarantined(bench)
    bench.projects.update({PROJECT_ID: {"policy": Policy()}})
    await pass_seconds(bench, GRACE + 5)

    assert await bench.state(job_id) is State.OBSERVED
