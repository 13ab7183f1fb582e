"""Quarantined downloads over a real database: stored with the watched job, ended once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from bot.atlas import JobNotFound, KeyRefused, RateLimited, RoleMissing, Unavailable
from bot.atlas.errors import NotCancellable
from bot.cancellation.errors import AlreadyHandled, JobAlreadyRequested, RightsNotChecked
from bot.cancellation.job import SENT_BEFORE
from bot.cancellation.lifecycle import JobFingerprint, Outcome, State
from bot.cancellation.people import People
from bot.cancellation.policy import Mode, Policies
from bot.cancellation.posts import PostKind, RequestPost
from bot.cancellation.quarantine import FEED_SHOWS_AFTER, NO_LONGER, PROJECT_GONE, TRIED_FOR
from bot.services.projects import Projects
from bot.services.quarantine import READ_TIMEOUT, RETRY_INTERVAL
from bot.services.service import Submission
from bot.storage.audit_log import AuditLog
from bot.storage.lease_store import LeaseStore
from bot.storage.tables import jobs
from tests.integration.storage.quarantine_environment import (
    CLUSTER,
    ENFORCED,
    GRACE,
    TEST,
    QuarantineEnv,
    Replica,
    pass_seconds,
    quarantined,
)
from tests.support.domain import (
    ABE,
    ADA,
    PROJECT_ID,
    RINA,
    a_request,
    a_waiting_request,
    allow,
    an_ask,
    job_ref,
)
from tests.support.fake_atlas import event_near
from tests.support.timings import DATABASE_TIMEOUT

if TYPE_CHECKING:
    from bot.atlas import AtlasError
    from bot.cancellation.lifecycle import Request
    from bot.cancellation.people import ActingPerson
    from bot.storage.database import Database


STARTER = "ada@shop.example"
#: The columns of jobs that a replica of the edition before leaves out.
AS_BEFORE = dict.fromkeys(("asked", "answer", "started_by", "phase", "was_running", "link_used"))

pytestmark = pytest.mark.databases("sqlite")
#: Where replicas act at once, and for the statements that no other test runs on PostgreSQL.
ON_BOTH = pytest.mark.databases("sqlite", "postgresql")


@pytest.fixture
async def env(database: Database) -> QuarantineEnv:
    env = QuarantineEnv(database, ENFORCED)
    await env.start()
    return env


async def pass_seconds_without_slack(env: QuarantineEnv, seconds: int) -> float:
    """Return when Slack is back, in monotonic seconds."""
    env.slack_is_up = False
    await pass_seconds(env, seconds)
    env.slack_is_up = True
    return env.clock.elapsed


async def test_new_download_is_cancelled_once_within_ten_seconds_of_its_grace_time(
    env: QuarantineEnv,
) -> None:
    job_id = await quarantined(env)
    await pass_seconds(env, GRACE + 10, step=1)

    assert GRACE <= env.seconds_held(job_id) <= GRACE + 10
    assert await env.state(job_id) is State.CANCELLED
    assert await AuditLog(env.database).verify() == []


async def test_without_a_channel_the_grace_time_begins_with_the_first_copy(
    database: Database,
) -> None:
    env = QuarantineEnv(database, ENFORCED, approvers=People(users=frozenset({"U1", "U2"})))
    await env.start()
    env.channel_is_archived = True
    job_id = await quarantined(env)
    await pass_seconds(env, 3 * GRACE)

    assert set(env.copied_at) == {"U1", "U2"}
    assert GRACE <= env.seconds_held(job_id, min(env.copied_at.values())) <= GRACE + 10
    assert await env.state(job_id) is State.CANCELLED
    assert env.shown_at == {}
    assert await AuditLog(env.database).verify() == []


@ON_BOTH
async def test_with_a_channel_that_is_archived_later_it_begins_again_in_every_replica(
    database: Database,
) -> None:
    env = QuarantineEnv(database, ENFORCED, approvers=People(users=frozenset({"U1"})))
    await env.start()
    env.replicas[0].has_old_answer = True  # it steps before the other, which sends the copies
    env.replicas.append(Replica(env, "two"))
    job_id = await quarantined(env)
    await pass_seconds(env, GRACE - 2)
    env.channel_is_archived = True
    await pass_seconds(env, 2 * GRACE)

    assert GRACE <= env.seconds_held(job_id, env.copied_at["U1"]) <= GRACE + 10
    assert env.copied_at["U1"] - env.shown_at[job_id] >= GRACE - 2


async def test_without_channel_and_approver_nothing_is_cancelled_until_people_see_the_card(
    env: QuarantineEnv,
) -> None:
    env.channel_is_archived = True
    job_id = await quarantined(env)
    await pass_seconds(env, 3 * GRACE)
    assert env.deletes(job_id) == []

    env.channel_is_archived = False
    await pass_seconds(env, GRACE - 2)
    assert env.deletes(job_id) == []
    env.channel_is_archived = True
    await pass_seconds(env, GRACE)
    env.channel_is_archived, back_at = False, env.clock.elapsed
    await pass_seconds(env, GRACE + 5)
    assert env.seconds_held(job_id, back_at) >= GRACE


async def test_downloads_of_the_first_read_are_not_quarantined(database: Database) -> None:
    env = QuarantineEnv(database, ENFORCED)
    old = env.begin(1)
    await env.start()
    await pass_seconds(env, GRACE + 5)

    assert await env.state(old) is None
    assert env.deletes(old) == []


@pytest.mark.parametrize("with_id", [True, False])
async def test_download_that_the_first_read_could_not_read_is_not_quarantined(
    database: Database, *, with_id: bool
) -> None:
    env = QuarantineEnv(database, ENFORCED)
    watch = env.replicas[0].watch
    await watch.record_watch(PROJECT_ID)
    await watch.record_clusters(PROJECT_ID, [CLUSTER])
    running, failed = env.begin(1), env.begin(2, failed=True)
    unread = [running, failed] if with_id else [""]
    await watch.record_jobs(PROJECT_ID, CLUSTER, [], unread)
    await env.read_jobs()
    later = await quarantined(env, 3)
    await pass_seconds(env, GRACE + 10)

    assert (env.deletes(running), len(env.deletes(later))) == ([], 1)
    assert await env.state(running) is None
    seen = [line async for line in AuditLog(database).events(event="download:seen")]
    before_watch = {line.subject: json.loads(line.detail)["before_watch"] for line in seen}
    assert before_watch == {running: True, later: False}


async def test_download_that_began_while_the_bot_was_down_has_its_full_grace_time(
    env: QuarantineEnv,
) -> None:
    job_id = env.begin(1)
    env.clock.advance(3600)
    env.replicas = [Replica(env, "two")]
    env.clock.advance(60)  # the lease of the first process has run out
    await env.read_jobs()
    await pass_seconds(env, GRACE + 5)

    assert env.seconds_held(job_id) >= GRACE


async def kept_by_ada(env: QuarantineEnv, number: int = 1) -> Request:
    """Start a download that Ada keeps, and whose starter is not known yet."""
    request = await env.request(await quarantined(env, number))
    return await env.requests.decide(request.id, State.KEPT, ADA, allow, reason="audit")


async def show_starter(env: QuarantineEnv, request: Request, name: str) -> None:
    """Show the starter of a download in the feed, and step each replica."""
    env.show_starter(request.ref.job_id, name)
    await env.replicas[0].jobs.follow()
    await env.second()


async def events_of(env: QuarantineEnv, request: Request) -> list[str]:
    return [each.event async for each in AuditLog(env.database).events(request=request.id)]


@ON_BOTH
async def test_keep_of_the_starter_is_void_once_and_the_download_has_a_full_grace_time_again(
    env: QuarantineEnv,
) -> None:
    env.replicas.append(Replica(env, "two"))
    env.emails[ADA.id] = "Ada@shop.example"
    request = await kept_by_ada(env)
    await env.second()
    env.show_starter(request.ref.job_id, "ada@SHOP.example")
    await env.replicas[0].jobs.follow()
    await asyncio.gather(*(replica.kept.step() for replica in env.replicas))
    voided_at = env.clock.elapsed
    await pass_seconds(env, GRACE + 10)

    events = await events_of(env, request)
    assert events.count("request:keep_voided") == events.count("request:quarantined") == 1
    assert GRACE <= env.seconds_held(request.ref.job_id, voided_at) <= GRACE + 10
    assert await AuditLog(env.database).verify() == []


@pytest.mark.parametrize(("email", "state"), [("ada@shop.example", "quarantined"), (None, "kept")])
async def test_keep_is_judged_again_once_slack_answers(
    env: QuarantineEnv, email: str | None, state: str
) -> None:
    request = await kept_by_ada(env)
    await show_starter(env, request, "ada@shop.example")
    before = await env.state(request.ref.job_id)
    env.emails[ADA.id] = email
    await env.second()

    assert [before, await env.state(request.ref.job_id)] == [State.KEPT, State(state)]


async def test_keep_that_waits_for_slack_delays_no_other(env: QuarantineEnv) -> None:
    await show_starter(env, await kept_by_ada(env), "ada@shop.example")

    async def limited(_user: str) -> str | None:
        raise RightsNotChecked("Slack limits how often it may be asked.", retry_after=300.0)

    env.replicas[0].kept.email_of = limited

    assert await env.replicas[0].kept.step() == RETRY_INTERVAL


async def test_keep_of_a_download_that_has_ended_stands(env: QuarantineEnv) -> None:
    env.emails[ADA.id] = "ada@shop.example"
    request = await kept_by_ada(env)
    env.atlas.change(request.ref.job_id, failed=True)
    await show_starter(env, request, "ada@shop.example")

    assert await env.state(request.ref.job_id) is State.KEPT


async def test_void_keep_takes_the_place_of_a_request_that_waits_and_waits_for_one_that_runs(
    env: QuarantineEnv,
) -> None:
    env.emails[ADA.id] = "ada@shop.example"
    waits, runs = await kept_by_ada(env), await kept_by_ada(env, 2)
    asked = await env.requests.create(a_waiting_request(ref=waits.ref), RINA)
    await env.requests.create(a_request(ref=runs.ref), RINA)
    for request in (waits, runs):
        await show_starter(env, request, "ada@shop.example")

    states = [(await env.requests.get(each.id)).state for each in (waits, asked, runs)]
    assert states == [State.QUARANTINED, State.WITHDRAWN, State.KEPT]
    assert await env.replicas[0].kept.step() == RETRY_INTERVAL  # for the one that runs


@pytest.mark.parametrize(
    ("atlas_clock", "another", "state"),
    [(0, False, State.KEPT), (0, True, State.QUARANTINED), (-600, True, State.QUARANTINED)],
)
async def test_expected_starter_ends_the_quarantine_once_the_feed_shows_late_events(
    database: Database, atlas_clock: int, another: bool, state: State
) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine_grace=3 * FEED_SHOWS_AFTER))
    await env.start()
    env.clock.jump(atlas_clock)
    job_id = env.begin(1)
    env.clock.jump(-atlas_clock)
    await env.read_jobs()
    await env.second()
    env.show_starter(job_id, "ETL@shop.example")
    await env.find_starters()
    if another:
        env.show_starter(f"{job_id[:-1]}9", "eve@shop.example", delay=5)
    await pass_seconds(env, int(FEED_SHOWS_AFTER.total_seconds()) - 7)
    too_early = await env.state(job_id)
    await pass_seconds(env, 3)

    assert [too_early, await env.state(job_id)] == [State.QUARANTINED, state]


async def test_keep_for_an_expected_starter_is_void_once_another_may_have_started_the_download(
    env: QuarantineEnv,
) -> None:
    job_id = await quarantined(env)
    env.show_starter(job_id, "ETL@shop.example")
    env.show_starter(f"{job_id[:-1]}9", "eve@shop.example", delay=45)
    await env.find_starters()
    await pass_seconds(env, 41)
    kept = await env.state(job_id)
    await env.read_jobs()
    await env.replicas[0].jobs.follow()
    voided_at = env.clock.elapsed
    await pass_seconds(env, GRACE + 10)

    assert kept is State.KEPT
    assert GRACE <= env.seconds_held(job_id, voided_at) <= GRACE + 10
    assert await AuditLog(env.database).verify() == []


@pytest.mark.parametrize(("before", "after"), [(0, -20), (0, -600), (-600, 0)])
async def test_clock_that_is_set_back_does_not_cancel_the_download_of_an_expected_starter(
    env: QuarantineEnv, before: int, after: int
) -> None:
    job_id = await quarantined(env)
    env.clock.jump(before)
    env.show_starter(job_id, "ETL@shop.example")
    await env.find_starters()
    await pass_seconds(env, 20)
    kept = await env.state(job_id)
    env.clock.jump(after)
    for _ in range(GRACE):
        await env.replicas[0].jobs.follow()
        await env.read_jobs()
        await pass_seconds(env, 2)

    assert (kept, env.atlas.deleted) == (State.KEPT, [])


@pytest.mark.parametrize("atlas_clock", [0, 30])
async def test_short_grace_time_does_not_cancel_a_download_of_a_starter_who_is_expected_later(
    database: Database, atlas_clock: int
) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine_grace=timedelta(seconds=2)))
    await env.start()
    env.clock.jump(atlas_clock)
    job_id = env.begin(1)
    env.clock.jump(-atlas_clock)
    env.show_starter(job_id, "ETL@shop.example")
    await env.read_jobs()
    await pass_seconds(env, 4)
    at_the_end = await env.state(job_id)
    await env.find_starters()
    await pass_seconds(env, int(FEED_SHOWS_AFTER.total_seconds()) - 4)

    assert [at_the_end, await env.state(job_id)] == [State.QUARANTINED, State.KEPT]


@pytest.mark.parametrize("jump", [0, -600])
async def test_expected_starter_whose_event_an_unread_job_may_have_keeps_no_download(
    env: QuarantineEnv, jump: int
) -> None:
    job_id = await quarantined(env)
    env.show_starter(job_id, "ETL@shop.example")
    await env.replicas[0].jobs.follow()
    env.clock.jump(jump)
    await pass_seconds(env, GRACE + 5)

    assert await env.state(job_id) is State.CANCELLED


async def test_channels_of_several_cards_are_checked_at_the_same_time(env: QuarantineEnv) -> None:
    for number in (1, 2):
        await quarantined(env, number)
    both = asyncio.Barrier(2)

    async def answers_late(_channel: str, _max_age: float) -> bool:
        return await both.wait() >= 0

    env.replicas[0].quarantine.takes_posts = answers_late
    async with asyncio.timeout(DATABASE_TIMEOUT):
        await env.second()


async def test_nothing_is_cancelled_during_an_outage_of_slack_nor_before_a_new_grace_time(
    env: QuarantineEnv,
) -> None:
    job_id = await quarantined(env)
    await pass_seconds(env, GRACE - 3)
    back_at = await pass_seconds_without_slack(env, 5)
    await pass_seconds(env, GRACE + 5)

    assert env.seconds_held(job_id, back_at) >= GRACE


async def test_downloads_beyond_the_limit_are_announced_only(database: Database) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine_limit=2))
    await env.start()
    first, second = await quarantined(env, 1), await quarantined(env, 2)
    third = env.begin(3)
    await env.read_jobs()
    assert env.limited == ["shop-prod"]
    assert await env.state(third) is None

    kept = await env.request(first)
    await env.requests.decide(kept.id, State.KEPT, ADA, allow, reason="audit")
    fourth = await quarantined(env, 4)
    await pass_seconds(env, GRACE + 5)

    assert [bool(env.deletes(job)) for job in (first, second, third, fourth)] == [
        *(False, True, False, True)
    ]


async def test_downloads_of_expected_starters_do_not_count_before_they_are_kept(
    database: Database,
) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine_limit=2))
    await env.start()
    for number in (1, 2):
        env.show_starter(await quarantined(env, number), "ETL@shop.example")
    await env.find_starters()
    await quarantined(env, 3)

    assert env.limited == []


@pytest.mark.parametrize(("listed", "state"), [(False, "quarantined"), (True, "observed")])
async def test_quarantine_of_a_project_that_was_removed_ends_once_all_projects_are_known(
    env: QuarantineEnv, state: str, *, listed: bool
) -> None:
    job_id = await quarantined(env)
    env.projects, env.knows_projects = Projects(), listed
    env.replicas = [Replica(env, "restarted")]
    await pass_seconds(env, GRACE + 5)

    request = await env.request(job_id)
    assert (request.state, env.deletes(job_id)) == (State(state), [])
    assert request.outcome.sentence.startswith(PROJECT_GONE) is listed


@ON_BOTH
@pytest.mark.parametrize("ended", [State.AWAITING, State.WITHDRAWN, State.EXPIRED])
async def test_quarantine_goes_on_where_the_request_that_replaced_it_waits_or_has_ended(
    env: QuarantineEnv, ended: State
) -> None:
    held = await env.request(await quarantined(env))
    ttl = timedelta(seconds=1 if ended is State.EXPIRED else 60)
    times = {"created_at": env.clock(), "expires_at": env.clock() + ttl}
    request = await env.requests.create(a_request(ref=held.ref, shown=held.shown, **times), RINA)
    leases = LeaseStore(env.database, env.clock, "runner")
    claimed = await leases.claim(request.id)
    assert claimed
    await leases.settle(claimed, State.AWAITING, Outcome())
    if ended is State.WITHDRAWN:
        await env.requests.decide(request.id, ended, RINA, allow)
    elif ended is State.EXPIRED:
        env.clock.advance(1)
        await env.requests.end_due()
    await env.second()

    states = [(await env.requests.get(each.id)).state for each in (held, request)]
    expected = State.WITHDRAWN if ended is State.AWAITING else ended
    assert states == [State.QUARANTINED, expected]
    assert await AuditLog(env.database).verify() == []


@pytest.mark.parametrize("is_sent", [False, True])
async def test_grace_time_ends_also_while_the_run_that_replaced_the_quarantine_waits_for_slack(
    env: QuarantineEnv, *, is_sent: bool
) -> None:
    held = await env.request(job_id := await quarantined(env))
    shown_at = env.shown_at[job_id]
    await pass_seconds(env, GRACE - 10)
    request = await env.requests.create(a_request(ref=held.ref, shown=held.shown), RINA)
    leases = LeaseStore(env.database, env.clock, "runner")
    run = await leases.claim(request.id)
    assert run
    if is_sent:
        await leases.record_delete_sent(run)
    await pass_seconds(env, 20)

    states = [(await env.requests.get(each.id)).state for each in (held, request)]
    if is_sent:
        assert states == [State.OVER, State.CANCELLING]
        return
    assert states == [State.CANCELLED, State.WITHDRAWN]
    assert GRACE <= env.seconds_held(job_id, shown_at) <= GRACE + 5
    with pytest.raises(AlreadyHandled):
        await leases.record_delete_sent(run)
    assert await AuditLog(env.database).verify() == []


@pytest.mark.parametrize("ended", [State.REFUSED, State.FAILED, State.CHANGED])
async def test_quarantine_returns_with_a_full_grace_time_where_the_run_that_replaced_it_fails(
    env: QuarantineEnv, ended: State
) -> None:
    held = await env.request(job_id := await quarantined(env))
    await pass_seconds(env, GRACE - 10)
    request = await env.requests.create(a_request(ref=held.ref, shown=held.shown), RINA)
    claimed = await LeaseStore(env.database, env.clock, "runner").claim(request.id)
    assert claimed
    await LeaseStore(env.database, env.clock, "runner").settle(claimed, ended, Outcome())
    await pass_seconds(env, GRACE - 5)

    assert (await env.requests.get(held.id)).state is State.QUARANTINED
    if ended is State.FAILED:
        retry = partial(env.requests.retry, request.id, RINA, allow)
        with pytest.raises(JobAlreadyRequested):
            await retry(needed_for=lambda _request: 0, ttl=timedelta(minutes=1))
    await pass_seconds(env, 15)
    assert len(env.deletes(job_id)) == 1
    assert await AuditLog(env.database).verify() == []


@pytest.mark.parametrize(
    ("mode", "state"), [(Mode.ENFORCE, State.QUARANTINED), (Mode.OBSERVE, State.AWAITING)]
)
async def test_request_that_waits_before_the_watch_sees_the_job_does_not_shield_the_download(
    database: Database, mode: Mode, state: State
) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine=mode))
    await env.start()
    job_id = env.begin(1)
    ref = job_ref(job_id)
    shown = JobFingerprint.of(env.job(job_id))
    await env.requests.create(a_waiting_request(ref=ref, shown=shown), RINA)
    await env.second()
    await env.read_jobs()

    assert await env.state(job_id) is state
    await pass_seconds(env, GRACE + 10)
    assert len(env.deletes(job_id)) == (mode is Mode.ENFORCE)
    assert await AuditLog(database).verify() == []


@pytest.mark.parametrize("ended", [State.FAILED, State.AWAITING, State.OVER])
async def test_download_whose_request_ran_when_the_watch_first_saw_it_is_quarantined_once_it_fails(
    env: QuarantineEnv, ended: State
) -> None:
    job_id = env.begin(1)
    shown = JobFingerprint.of(env.job(job_id))
    request = await env.requests.create(a_request(ref=job_ref(job_id), shown=shown), RINA)
    leases = LeaseStore(env.database, env.clock, "runner")
    claimed = await leases.claim(request.id)
    assert claimed
    await env.second()
    await env.read_jobs()
    await env.second()
    assert await env.state(job_id) is State.CANCELLING
    await leases.settle(claimed, ended, Outcome())
    await env.second()
    await env.replicas[0].watch.record_watch(PROJECT_ID)  # the jobs as before are not recorded
    await pass_seconds(env, GRACE + 10)

    assert len(env.deletes(job_id)) == (ended is not State.OVER)
    if ended is State.OVER:
        assert await env.state(job_id) is State.OVER
        return
    assert GRACE <= env.seconds_held(job_id) <= GRACE + 5
    assert await AuditLog(env.database).verify() == []


def reload(env: QuarantineEnv, **changes: Any) -> None:
    """Change the policy of the project."""
    policy = replace(env.projects.policy(job_ref()), **changes)
    env.projects.update(PROJECT_ID, policies=Policies(policy))


async def keep(env: QuarantineEnv, job_id: str, person: ActingPerson) -> Request:
    request = await env.request(job_id)
    return await env.requests.decide(request.id, State.KEPT, person, allow, reason="audit")


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [((), (STARTER,), State.KEPT), ((STARTER,), (), State.CANCELLED)],
    ids=["expected by now", "not expected any more"],
)
async def test_starter_is_expected_by_the_settings_at_the_end(
    database: Database, before: tuple[str, ...], after: tuple[str, ...], state: State
) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine_expected=frozenset(before)))
    await env.start()
    job_id = await quarantined(env)
    env.show_starter(job_id, STARTER)
    await env.find_starters()
    reload(env, quarantine_expected=frozenset(after))
    await pass_seconds(env, GRACE + 5)

    assert await env.state(job_id) is state


async def test_keep_stands_after_a_reload_and_a_lower_limit_counts_for_the_next_download(
    env: QuarantineEnv,
) -> None:
    kept = await quarantined(env, 1)
    await keep(env, kept, ABE)
    reload(env, quarantine_limit=0, approvers=People(users=frozenset({ADA.id})))
    next_one = env.begin(2)
    await env.read_jobs()
    await pass_seconds(env, GRACE + 5)

    assert [await env.state(each) for each in (kept, next_one)] == [State.KEPT, None]
    assert (env.limited, env.atlas.deleted) == (["shop-prod"], [])


@ON_BOTH
@pytest.mark.parametrize("is_upgraded", [False, True])
async def test_void_keep_beyond_the_limit_leaves_the_download_to_people(
    database: Database, *, is_upgraded: bool
) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine_limit=1), emails={ADA.id: STARTER})
    await env.start()
    kept = await quarantined(env, 1)
    await keep(env, kept, ADA)
    await quarantined(env, 2)
    await pass_seconds(env, GRACE + 5)
    if is_upgraded:
        await database.write(lambda db: db.execute(update(jobs).values(AS_BEFORE)))
    env.atlas.late.append((0.0, event_near(kept, STARTER, job_ref(kept).started_at)))
    await env.second(15)  # until the feed is read again
    await env.replicas[0].jobs.follow()
    await env.second()

    assert await env.state(kept) is State.QUARANTINED
    await pass_seconds(env, GRACE + 5)
    assert (await env.state(kept), env.deletes(kept)) == (State.OBSERVED, [])


@pytest.mark.parametrize(("is_kept", "state"), [(True, State.KEPT), (False, State.OVER)])
async def test_starter_who_acts_alone_cancels_the_own_download_once(
    env: QuarantineEnv, state: State, *, is_kept: bool
) -> None:
    job_id = await quarantined(env)
    env.show_starter(job_id, STARTER)
    await env.replicas[0].jobs.follow()
    env.emails[RINA.id] = STARTER
    held = await keep(env, job_id, ABE) if is_kept else await env.request(job_id)
    reload(env, approvals=1, break_glass=People(users=frozenset({RINA.id})))
    ask = an_ask(ref=held.ref, shown=held.shown)
    submission = Submission(key="V1", person=RINA, ask=ask, channel="C0OPS", alone=True)
    await env.replicas[0].service.submit(submission)
    await env.replicas[0].runs()
    own = await env.requests.get(held.id)

    assert (own.state, own.outcome.by) == (state, ABE.id if is_kept else RINA.id)
    assert (await env.state(job_id), len(env.deletes(job_id))) == (State.CANCELLED, 1)


@ON_BOTH
async def test_two_leaders_at_once_do_not_both_take_the_last_place_of_the_limit(
    database: Database,
) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine_limit=1))
    env.replicas.append(Replica(env, "two"))
    await env.start()
    for number, cluster in enumerate((CLUSTER, TEST), 1):
        env.begin(number, cluster)
    reads = zip(env.replicas, env.atlas.jobs.items(), strict=True)
    await asyncio.gather(
        *(each.watch.record_jobs(PROJECT_ID, name, found) for each, (name, found) in reads)
    )

    assert env.limited == ["shop-prod"]


def fail(env: QuarantineEnv, method: str, error: AtlasError | None) -> None:
    """Let Atlas answer each read, or each DELETE, with an error; None ends that."""
    env.atlas.faults = {CLUSTER: error} if error and method == "GET" else {}
    env.atlas.refusal = error if method == "DELETE" else None


def replies(env: QuarantineEnv, job_id: str) -> list[str | None]:
    """Return the events of the replies in the thread of a job's card."""
    posts = [each for each in env.posted if isinstance(each, RequestPost)]
    of_job = [each for each in posts if each.request.ref.job_id == job_id]
    return [each.event for each in of_job if each.kind is PostKind.REPLY]


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("GET", Unavailable(status=503)),
        ("GET", JobNotFound(status=404)),
        ("DELETE", RoleMissing(status=403)),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
async def test_fault_of_atlas_at_the_end_of_a_grace_time_is_reported_once_and_tried_again(
    env: QuarantineEnv, method: str, error: AtlasError
) -> None:
    job_id = await quarantined(env)
    fail(env, method, error)
    await pass_seconds(env, GRACE + 35)
    env.replicas = [Replica(env, "two")]  # after a restart
    await pass_seconds(env, 30)
    assert await env.state(job_id) is State.QUARANTINED
    assert replies(env, job_id) == ["request:approved", "request:quarantined"]

    fail(env, method, None)
    tried = len(env.deletes(job_id))
    await pass_seconds(env, 32)
    assert await env.state(job_id) is State.CANCELLED
    assert len(env.deletes(job_id)) - tried == 1
    pauses = [after - before for before, after in pairwise(env.deletes(job_id))]
    assert all(30 <= each <= 33 for each in pauses)
    assert replies(env, job_id)[2:] == ["request:cancelled"]
    assert await AuditLog(env.database).verify() == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_next_try_after_a_fault_is_not_before_the_retry_after_of_atlas(
    env: QuarantineEnv, method: str
) -> None:
    job_id = await quarantined(env)
    fail(env, method, RateLimited(status=429, retry_after=120.0))
    await pass_seconds(env, GRACE + 5)
    for since in (5, 0):
        again_at = (await env.request(job_id)).grace_ends_at
        assert again_at
        assert again_at >= env.clock.now + timedelta(seconds=119 - since)
        await env.second(121)


async def test_tries_after_a_fault_end_where_the_retry_after_of_atlas_outlasts_them(
    env: QuarantineEnv,
) -> None:
    job_id = await quarantined(env)
    fail(env, "DELETE", Unavailable(status=503, retry_after=60.0))
    await pass_seconds(env, GRACE + 5)
    fail(env, "GET", RateLimited(status=429, retry_after=TRIED_FOR.total_seconds()))
    await pass_seconds(env, 62)

    assert await env.state(job_id) is State.FAILED
    assert replies(env, job_id)[-1] == "request:failed"


async def test_download_is_cancelled_after_a_fault_of_atlas_also_while_each_read_takes_long(
    env: QuarantineEnv,
) -> None:
    job_id = await quarantined(env)
    fail(env, "DELETE", Unavailable(status=503, retry_after=60.0))
    await pass_seconds(env, GRACE + 5)
    fail(env, "DELETE", None)
    env.atlas.read_time = READ_TIMEOUT + 1
    await pass_seconds(env, 62)

    assert await env.state(job_id) is State.CANCELLED


async def test_download_whose_delete_failed_does_not_count_itself_in_the_limit(
    database: Database,
) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine_limit=1), emails={ADA.id: STARTER})
    await env.start()
    job_id = await quarantined(env)
    fail(env, "DELETE", Unavailable(retry_after=60.0, may_have_taken_effect=True))
    await pass_seconds(env, GRACE + 5)
    kept = await keep(env, job_id, ADA)
    fail(env, "DELETE", None)
    await env.second(15)  # until the feed is read again
    await show_starter(env, kept, STARTER)
    await pass_seconds(env, GRACE + 5)

    assert await env.state(job_id) is State.CANCELLED


@pytest.mark.parametrize("end", [State.REFUSED, State.KEPT, State.OVER])
async def test_download_that_is_not_cancelled_after_a_delete_does_not_count_in_the_limit(
    database: Database, end: State
) -> None:
    env = QuarantineEnv(database, replace(ENFORCED, quarantine_limit=1))
    await env.start()
    job_id = await quarantined(env)
    lost = Unavailable(retry_after=60.0, may_have_taken_effect=True)
    fail(env, "DELETE", NotCancellable(status=400) if end is State.REFUSED else lost)
    await pass_seconds(env, GRACE + 5)
    if end is State.KEPT:
        await keep(env, job_id, ADA)
    elif end is State.OVER:
        env.atlas.change(job_id, cancelled=True, failed=True)  # by Atlas, not by the DELETE
        await pass_seconds(env, 62)
    assert await env.state(job_id) is end

    await quarantined(env, 2)
    assert env.limited == []


@ON_BOTH
async def test_lost_answer_to_a_delete_before_a_fault_of_atlas_ends_as_cancelled(
    env: QuarantineEnv,
) -> None:
    job_id = await quarantined(env)
    lost = Unavailable(status=502, retry_after=60.0, may_have_taken_effect=True)
    fail(env, "DELETE", lost)
    await pass_seconds(env, GRACE + 5)
    env.atlas.change(job_id, cancelled=True)
    await env.read_jobs()
    await pass_seconds(env, 62)

    assert await env.state(job_id) is State.CANCELLED
    assert len(env.deletes(job_id)) == 1


@pytest.mark.parametrize("decision", ["keep", "cancel now", "lasting fault"])
async def test_person_and_time_end_the_tries_after_a_fault_of_atlas(
    env: QuarantineEnv, decision: str
) -> None:
    request = await env.request(job_id := await quarantined(env))
    fail(env, "GET", KeyRefused(status=401))
    await pass_seconds(env, GRACE + 5)
    if decision == "keep":
        await env.requests.decide(request.id, State.KEPT, ADA, allow, reason="audit")
        fail(env, "GET", None)
    elif decision == "cancel now":
        await env.replicas[0].service.approve(request.id, ADA)
        await pass_seconds(env, 5)
        assert replies(env, job_id)[-2:] == ["request:approved", "request:quarantined"]
        env.show_starter(job_id, "etl@shop.example")
        await env.find_starters()
        fail(env, "GET", None)
    else:
        env.clock.advance(TRIED_FOR.total_seconds())
    await pass_seconds(env, 40)

    ends = {"keep": State.KEPT, "cancel now": State.CANCELLED, "lasting fault": State.REFUSED}
    assert await env.state(job_id) is ends[decision]
    assert len(env.deletes(job_id)) == (decision == "cancel now")
    assert replies(env, job_id)[-1] == f"request:{ends[decision]}"


@pytest.mark.parametrize("request_is", ["none", "waiting", "withdrawn"])
async def test_keeper_is_notified_where_a_lost_delete_may_have_ended_the_download_late(
    env: QuarantineEnv, request_is: str
) -> None:
    job_id = await quarantined(env)
    fail(env, "DELETE", Unavailable(retry_after=60.0, may_have_taken_effect=True))
    await pass_seconds(env, GRACE + 5)
    kept = await keep(env, job_id, ADA)
    if request_is != "none":
        env.clock.advance(1)
        asked = a_waiting_request(ref=kept.ref, shown=kept.shown)
        created = await env.requests.create(asked, RINA)
        if request_is == "withdrawn":
            await env.requests.decide(created.id, State.WITHDRAWN, RINA, allow)
    env.atlas.change(job_id, cancelled=True)
    for _ in range(2):
        await env.read_jobs()
        await env.second()

    assert replies(env, job_id).count("request:job_ended") == (request_is != "waiting")
    assert await AuditLog(env.database).verify() == []


@pytest.mark.parametrize("is_served", [True, False])
async def test_settings_end_the_tries_after_a_fault_before_the_pause_is_over(
    env: QuarantineEnv, *, is_served: bool
) -> None:
    job_id = await quarantined(env)
    fail(env, "DELETE", Unavailable(retry_after=60.0, may_have_taken_effect=True))
    await pass_seconds(env, GRACE + 5)
    reload(env, quarantine=Mode.OFF)
    if not is_served:
        env.replicas[0].quarantine.projects = Projects()
    fail(env, "GET", KeyRefused(status=401))
    await env.second()

    request = await env.request(job_id)
    assert (request.state, len(env.deletes(job_id))) == (State.OBSERVED, 1)
    why = NO_LONGER if is_served else PROJECT_GONE
    assert request.outcome.sentence == f"{why} {SENT_BEFORE}"


async def test_step_that_fails_starts_the_grace_time_again(env: QuarantineEnv) -> None:
    job_id = await quarantined(env)
    await pass_seconds(env, GRACE - 3)
    quarantine = env.replicas[0].quarantine

    async def fail() -> bool:
        raise OSError("the database is away")

    quarantine.slack_answers = fail
    with pytest.raises(OSError, match="away"):
        await quarantine.step()
    quarantine.slack_answers, failed_at = env.slack_answers, env.clock.elapsed
    await pass_seconds(env, GRACE + 5)

    assert env.seconds_held(job_id, failed_at) >= GRACE
