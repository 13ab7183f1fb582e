"""The facts about jobs, and the events and posts of their changes, on both databases."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.atlas import JobRef, JobState, RestoreJob
from bot.cancellation.events import EventName
from bot.cancellation.job import NO_COPY, USUAL_WAIT, LinkPhase
from bot.cancellation.lifecycle import JobFingerprint, Outcome, Request, State
from bot.cancellation.posts import PostKind
from bot.cancellation.starter import StartedBy, Starter, StarterKind, StarterStatus
from bot.storage.job_store import JobStore
from tests.integration.storage.conftest import Stores
from tests.support.clock import NOON
from tests.support.domain import (
    ADA,
    PROJECT_ID,
    RINA,
    a_job,
    a_request,
    a_waiting_request,
    allow,
    job_ref,
    keep_all,
)

DANA = StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, name="dana@shop.example"))
#: A link as Atlas may show it: with its end alone, or without.
LINKS = [
    {"expiresAt": (NOON + timedelta(minutes=59)).isoformat()},
    {"deliveryUrl": ["https://example.test/x"]},
]
REF = job_ref(f"{int(NOON.timestamp()):08x}{'a' * 16}")


def live(ref: JobRef, since: datetime) -> RestoreJob:
    expires_at = (since + timedelta(hours=1)).isoformat()
    return a_job(id=ref.job_id, deliveryUrl=["https://example.test/x"], expiresAt=expires_at)


def used(ref: JobRef, since: datetime) -> RestoreJob:
    return live(ref, since).model_copy(update={"link_is_live": False})


async def waiting(env: Stores, **changes: Any) -> Request:
    """Create a request that waits, and post its card."""
    return await env.posted(a_waiting_request(ref=REF, **changes))


async def test_link_is_expected_at_the_median_of_five_observed_ones(env: Stores) -> None:
    before = (await env.jobs.get([REF]))[REF]
    for number, seconds in enumerate((90, 100, 110, 700, 800)):
        start = int(NOON.timestamp()) - 7200 + number
        other = job_ref(f"{start:08x}{number:016x}")
        await env.jobs.record(other, live(other, other.started_at + timedelta(seconds=seconds)))

    assert before.expected_at == NOON + USUAL_WAIT
    assert (await env.jobs.get([REF]))[REF].expected_at == NOON + timedelta(seconds=110)


async def test_job_is_found_by_its_id_in_the_given_projects_alone(env: Stores) -> None:
    for ref in (REF, job_ref()):
        await env.jobs.record(ref)

    assert await env.jobs.with_id(REF.job_id, [PROJECT_ID]) == [REF]
    assert await env.jobs.with_id(REF.job_id, ["f" * 24]) == []


async def test_card_with_a_decision_is_edited_before_one_whose_job_alone_changed(
    env: Stores,
) -> None:
    first, decided = [await env.posted(a_waiting_request(approvals=2)) for _ in range(2)]
    await env.jobs.record(first.ref, None, DANA)
    env.clock.advance(1)
    await env.store.approve(decided.id, ADA, allow, keep_all)
    await env.jobs.record(decided.ref, None, DANA)

    edits = [post for post in await env.claim_posts() if post.is_edit]
    shown = [(post.request.id, post.only_facts) for post in edits]
    assert shown == [(decided.id, False), (first.id, True)]


async def test_live_link_of_a_waiting_request_is_reported_once_by_all_replicas(env: Stores) -> None:
    await waiting(env)
    env.clock.advance(120)
    job = live(REF, env.clock.now)

    await asyncio.gather(*(env.jobs.record(REF, job) for _ in range(5)))
    posts = await env.outbox.claim("replica-1", 10)

    assert (await env.events()).count(EventName.LINK_LIVE) == 1
    assert sorted(post.kind for post in posts) == [PostKind.CARD, PostKind.REPLY]


async def test_reads_of_link_and_starter_at_the_same_time_are_both_kept(env: Stores) -> None:
    for number in range(5):
        ref = job_ref(f"{int(NOON.timestamp()):08x}{number:016x}")
        await env.jobs.record(ref)
        link, starter = env.jobs.record(ref, live(ref, NOON)), env.jobs.record(ref, None, DANA)
        await asyncio.gather(link, starter)

        known = (await env.jobs.get([ref]))[ref]
        assert (known.live_since, known.started_by) == (NOON, DANA)


async def test_link_that_was_used_unseen_is_recorded_as_live_and_reported_as_used(
    env: Stores,
) -> None:
    await waiting(env)
    env.clock.advance(120)
    for _ in range(2):
        await env.jobs.record(REF, used(REF, env.clock.now))
    posts = await env.outbox.claim("replica-1", 10)

    of_link = [each for each in await env.events() if "link" in each]
    assert of_link == [EventName.LINK_LIVE, EventName.LINK_USED]
    replies = [post.event for post in posts if post.kind == PostKind.REPLY]  # type: ignore[union-attr]
    assert replies == [EventName.LINK_USED]


@pytest.mark.parametrize("job", [live(REF, NOON), used(REF, NOON)], ids=["live", "used"])
async def test_request_of_a_link_that_was_shown_as_it_is_gets_no_event(
    env: Stores, job: RestoreJob
) -> None:
    await waiting(env, shown=JobFingerprint.of(job))
    await env.jobs.record(REF, job)

    assert await env.events() == [EventName.CREATED]
    assert (await env.jobs.get([REF]))[REF].state is job.state


async def test_link_that_went_live_unnoticed_is_reported_to_a_later_request(env: Stores) -> None:
    await env.jobs.record(REF, live(REF, NOON))
    await waiting(env)
    await env.jobs.record(REF, live(REF, NOON))

    assert (await env.events()).count(EventName.LINK_LIVE) == 1


async def test_late_starter_edits_the_card_and_is_recorded(env: Stores) -> None:
    await waiting(env)
    await env.jobs.record(REF, started_by=DANA)
    await env.jobs.record(REF, started_by=StartedBy(StarterStatus.NOT_IN_FEED))
    (edit,) = await env.outbox.claim("replica-1", 10)

    assert edit.is_edit
    assert await env.events() == [EventName.CREATED, EventName.STARTER_KNOWN]
    assert (await env.jobs.get([REF]))[REF].started_by == DANA


async def test_followed_are_the_jobs_of_waiting_requests_with_nearby_ones(env: Stores) -> None:
    nearby_job = JobRef(REF.project_id, "prod-us", f"{int(NOON.timestamp()) + 2:08x}{'b' * 16}")
    await env.jobs.record(nearby_job)
    await env.store.create(a_waiting_request(ref=REF), RINA)
    await env.store.create(a_request(), RINA)

    (followed,) = await env.jobs.followed()

    assert (followed.job.ref, followed.waits) == (REF, True)
    assert followed.other_jobs == [nearby_job.job_id]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("seen", ["", "in the dialog", "in the run", "at last"])
async def test_cancellation_records_whether_the_link_was_live(
    seen: str, link: dict[str, Any], env: Stores
) -> None:
    def read(when: str, **changes: Any) -> RestoreJob:
        return a_job(**changes, **(link if seen == when else {}))

    shown = JobFingerprint.of(read("in the dialog"))
    request = await env.store.create(a_request(ref=REF, shown=shown), RINA)
    claimed = await env.claim_run(request)
    await env.leases.record_read(claimed, read("in the run"), env.clock())
    sent = await env.leases.record_delete_sent(claimed)
    is_known = (await env.jobs.get([REF]))[REF].live_since is not None
    after = read("at last", cancelled=True)
    await env.leases.settle(sent, State.CANCELLED, Outcome(sentence="done"), job=after)

    (line,) = [line async for line in env.record.events(event="request:cancelled")]
    assert ("link_live_since" in line.detail) is bool(seen)
    assert is_known is (seen not in {"", "at last"}), "another runner may go on"


#: By the reads before a download ends and its last one, whether its link may have been live.
READ = a_job()
LAST_READS = [
    ([READ], a_job(cancelled=True), False),
    ([READ], a_job(cancelled=True, expired=True, finishedAt=NOON.isoformat()), True),
    ([], a_job(cancelled=True), True),
    ([READ], a_job(cancelled=True, failed=True), False),
    ([], a_job(cancelled=True, failed=True), True),
    ([a_job(deliveryUrl=["https://x.test"])], a_job(cancelled=True, failed=True), False),
]


@pytest.mark.parametrize(("earlier", "last", "is_unknown"), LAST_READS)
async def test_run_denies_the_link_or_a_copy_only_if_its_reads_showed_that_there_was_none(
    env: Stores, earlier: list[RestoreJob], last: RestoreJob, is_unknown: bool
) -> None:
    claimed = await env.claim_run(await env.store.create(a_request(ref=REF), RINA))
    for job in earlier:
        await env.leases.record_read(claimed, job, env.clock())
    over = await env.leases.settle(claimed, State.OVER, Outcome(sentence="It is."), job=last)

    (line,) = [line async for line in env.record.events(event="request:over")]
    assert ('"link_unknown":true' in line.detail) is is_unknown
    assert (await env.jobs.get([REF]))[REF].link_unknown is is_unknown
    has_no_copy = last.failed and earlier == [READ]
    assert over.outcome.sentence == ("It is." + f" {NO_COPY}" * has_no_copy)


#: The answers before a download reads cancelled, 12 s apart: whether its link was never live.
ANSWERS = {
    "listed, listed again, listed again": True,
    "listed, read by another replica, read by a run": True,
    "listed, fault, read by another replica": True,
    "lacked": True,
    "fault": False,
    "listed, fault": False,
    "listed, unreadable": False,
    "listed, lacked": False,
    "read by a run, fault": False,
    "unreadable": False,
    "lacked, fault": False,
}


@pytest.mark.parametrize("answers", ANSWERS)
async def test_link_was_never_live_only_if_answers_had_the_job_itself_all_the_time(
    env: Stores, answers: str
) -> None:
    place, running, lacked_at = (PROJECT_ID, REF.cluster_name), a_job(id=REF.job_id), None
    for answer in answers.split(", "):
        now = env.clock()
        match answer:
            case "listed":
                await env.watch.record_jobs(*place, [running], read_at=now)
            case "listed again":
                await env.watch.record_reads([REF], now)
            case "unreadable":
                await env.watch.record_jobs(*place, [], [REF.job_id], read_at=now)
            case "lacked":
                await env.watch.record_jobs(*place, [], read_at=now)
                lacked_at = now
            case "read by another replica":
                await JobStore(env.database, env.clock).record(REF, running, read_at=now)
            case "read by a run":
                claimed = await env.claim_run(await env.store.create(a_request(ref=REF), RINA))
                sent = await env.leases.record_delete_sent(claimed)
                await env.leases.record_delete_answer(sent, sent.sent, {"status": 503}, now)
        env.clock.advance(12)
    over = a_job(id=REF.job_id, cancelled=True)
    await env.watch.record_jobs(*place, [over], read_at=env.clock(), lacked_at=lacked_at)

    known = (await env.jobs.get([REF]))[REF]
    assert (known.state, known.link_unknown) == (JobState.CANCELLED, not ANSWERS[answers])


async def test_run_that_fails_records_the_link_that_it_read_for_the_card(env: Stores) -> None:
    claimed = await env.claim_run(await env.store.create(a_request(ref=REF), RINA))
    read = a_job(deliveryUrl=["https://x.test"], expiresAt=NOON + timedelta(minutes=59))

    await env.leases.settle(claimed, State.FAILED, Outcome(sentence="why"), job=read)

    assert (await env.jobs.get([REF]))[REF].phase is LinkPhase.LIVE


async def test_expected_time_of_a_known_job_stays(env: Stores) -> None:
    await env.jobs.record(REF)
    env.clock.advance(179)
    early = await env.jobs.record(REF)
    env.clock.advance(1)
    late = await env.jobs.record(REF)

    assert (early.phase, late.phase) == (LinkPhase.EXPECTED, LinkPhase.OVERDUE)
    assert late.expected_at == early.expected_at
