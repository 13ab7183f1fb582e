"""The watch store: one lease per project, one row per job, one message per job."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from bot.atlas import RestoreJob
from bot.cancellation.lifecycle import Card, JobFingerprint
from bot.cancellation.posts import Announcement, RequestPost
from bot.cancellation.watched_job import WatchedState
from bot.storage.database import Database
from bot.storage.outbox_store import LEASE as CLAIM
from bot.storage.outbox_store import OutboxStore
from bot.storage.posts import pending_announcements
from bot.storage.queries import newest_request_for
from bot.storage.request_store import RequestStore
from bot.storage.tables import posts, watched_jobs
from bot.storage.watch_store import (
    FORGET_AFTER,
    LEASE,
    WatchStore,
    clusters_with_open_jobs,
    jobs_among,
    jobs_of,
)
from tests.support.domain import PROJECT_ID, RINA, Clock, a_job, a_request, job_ref, new_job_id

CLUSTER = "prod-eu"
HERE = Card(channel="C0WATCH", ts="1700000000.000100")


@pytest.fixture
def mine(database: Database, clock: Clock) -> WatchStore:
    return WatchStore(database, clock, "replica-1")


@pytest.fixture
def theirs(database: Database, clock: Clock) -> WatchStore:
    return WatchStore(database, clock, "replica-2")


async def start_watch(watch: WatchStore, *jobs: RestoreJob) -> None:
    """Start a watch of a cluster with `jobs`."""
    assert await watch.acquire(PROJECT_ID)
    assert await watch.record_clusters(PROJECT_ID, [CLUSTER]) == []
    assert await watch.record_jobs(PROJECT_ID, CLUSTER, jobs) is not None


async def announced(watch: WatchStore, *jobs: RestoreJob) -> list[tuple[str, WatchedState]]:
    changes = await watch.record_jobs(PROJECT_ID, CLUSTER, jobs)
    assert changes is not None
    return [(each.job_id, each.state) for each in changes]


async def claim(outbox: OutboxStore) -> Announcement | None:
    found = await outbox.claim("replica-1", 8, 1)
    return next((post for post in found if isinstance(post, Announcement)), None)


async def claimed(outbox: OutboxStore) -> Announcement:
    post = await claim(outbox)
    assert post is not None
    return post


async def all_claimed(outbox: OutboxStore) -> list[str]:
    found = []
    while post := await claim(outbox):
        found.append(post.job.ref.job_id)
    return found


async def deliver(outbox: OutboxStore, post: Announcement) -> None:
    await outbox.mark_sent(post, HERE.channel, HERE.ts)


def a_download(**changes: Any) -> RestoreJob:
    return a_job(**{"id": new_job_id()} | changes)


# Leases


async def test_one_replica_holds_the_lease_of_a_project(
    mine: WatchStore, theirs: WatchStore
) -> None:
    assert [await mine.acquire(PROJECT_ID), await theirs.acquire(PROJECT_ID)] == [True, False]


async def test_one_of_several_concurrent_replicas_acquires_the_lease(
    database: Database, clock: Clock
) -> None:
    replicas = [WatchStore(database, clock, f"replica-{number}") for number in range(5)]

    held = await asyncio.gather(*(each.acquire(PROJECT_ID) for each in replicas))

    assert sum(held) == 1


async def test_expired_lease_is_taken_over(
    mine: WatchStore, theirs: WatchStore, clock: Clock
) -> None:
    await start_watch(mine)
    clock.forward(LEASE.total_seconds() + 1)

    assert await theirs.acquire(PROJECT_ID)
    assert await mine.record_jobs(PROJECT_ID, CLUSTER, [a_download()]) is None
    assert await mine.record_clusters(PROJECT_ID, ["other"]) is None
    assert await mine.acquire(PROJECT_ID) is False


async def test_released_lease_is_free_at_once(mine: WatchStore, theirs: WatchStore) -> None:
    await mine.acquire(PROJECT_ID)
    await theirs.release(PROJECT_ID)
    assert await theirs.acquire(PROJECT_ID) is False
    await mine.release(PROJECT_ID)

    assert await theirs.acquire(PROJECT_ID) is True


async def test_each_project_has_its_own_lease(mine: WatchStore, theirs: WatchStore) -> None:
    await mine.acquire(PROJECT_ID)

    assert await theirs.acquire("f" * 24) is True


async def test_recording_jobs_renews_the_lease(
    mine: WatchStore, theirs: WatchStore, clock: Clock
) -> None:
    await start_watch(mine)
    clock.forward(LEASE.total_seconds() - 1)
    await mine.record_jobs(PROJECT_ID, CLUSTER, [])
    clock.forward(LEASE.total_seconds() - 1)

    assert await theirs.acquire(PROJECT_ID) is False


# Changes


async def test_first_read_announces_only_jobs_that_can_be_cancelled(
    mine: WatchStore, outbox: OutboxStore
) -> None:
    running, live = a_download(), a_download(deliveryUrl=["https://x.invalid/y"])
    over = [a_download(**{flag: True}) for flag in ("cancelled", "expired", "failed")]
    other = a_job(id=new_job_id(), deliveryType="automated")

    await start_watch(mine, live, running, *over, other)

    assert await all_claimed(outbox) == [running.id, live.id]
    assert await announced(mine, live, running, *over, other) == []


async def test_later_reads_announce_jobs_that_ended_already(mine: WatchStore) -> None:
    await start_watch(mine)
    gone, running = a_download(expired=True), a_download()

    assert await announced(mine, running, gone) == [
        (gone.id, WatchedState.EXPIRED),
        (running.id, WatchedState.IN_PROGRESS),
    ]


async def test_all_jobs_of_a_new_cluster_are_announced(mine: WatchStore) -> None:
    await start_watch(mine)
    await mine.record_clusters(PROJECT_ID, [CLUSTER, "brand-new"])

    changes = await mine.record_jobs(PROJECT_ID, "brand-new", [a_download(cancelled=True)])

    assert changes
    assert [each.state for each in changes] == [WatchedState.CANCELLED]


async def test_late_first_read_is_a_first_read(mine: WatchStore, clock: Clock) -> None:
    await mine.acquire(PROJECT_ID)
    await mine.record_clusters(PROJECT_ID, [CLUSTER])
    clock.forward(15)
    await mine.record_clusters(PROJECT_ID, [CLUSTER])

    assert await announced(mine, a_download(expired=True)) == []


async def test_next_replica_continues_from_the_recorded_state(
    mine: WatchStore, theirs: WatchStore
) -> None:
    known, new = a_download(), a_download(cancelled=True)
    await start_watch(mine, known)
    await mine.release(PROJECT_ID)
    assert await theirs.acquire(PROJECT_ID)
    await theirs.record_clusters(PROJECT_ID, [CLUSTER])

    assert await announced(theirs, new, known) == [(new.id, WatchedState.CANCELLED)]


async def test_watch_starts_anew_after_a_week_without_a_read(
    mine: WatchStore, clock: Clock
) -> None:
    known = a_download()
    await start_watch(mine, known)
    clock.forward(FORGET_AFTER.total_seconds() + LEASE.total_seconds() + 1)
    await mine.acquire(PROJECT_ID)
    await mine.record_clusters(PROJECT_ID, [CLUSTER])
    came, running = a_download(expired=True), a_download()

    assert await announced(mine, running, came, known) == [(running.id, WatchedState.IN_PROGRESS)]


async def test_gap_of_the_feed_is_known_to_the_next_replica(
    mine: WatchStore, theirs: WatchStore
) -> None:
    await start_watch(mine)
    assert not await mine.has_feed_gap(PROJECT_ID)
    await mine.record_feed_gap(PROJECT_ID)
    await mine.release(PROJECT_ID)
    await theirs.acquire(PROJECT_ID)

    assert await theirs.has_feed_gap(PROJECT_ID)
    assert not await theirs.has_feed_gap("f" * 24)


async def test_deleted_cluster_is_returned_while_it_has_open_jobs(
    mine: WatchStore,
) -> None:
    await start_watch(mine, a_download())

    assert await mine.record_clusters(PROJECT_ID, ["other"]) == [CLUSTER]
    await mine.record_jobs(PROJECT_ID, CLUSTER, [])
    assert await mine.record_clusters(PROJECT_ID, ["other"]) == []


async def test_long_history_is_recorded_at_once_and_not_announced(
    mine: WatchStore, outbox: OutboxStore, database: Database
) -> None:
    history = [a_download(expired=True) for _ in range(1001)]

    await start_watch(mine, *history)

    count = select(func.count()).select_from(watched_jobs)
    assert await database.read(lambda db: db.scalar(count)) == len(history)
    assert await claim(outbox) is None


async def test_many_open_jobs_are_announced_in_order(mine: WatchStore, outbox: OutboxStore) -> None:
    jobs = [a_download() for _ in range(30)]

    await start_watch(mine, *reversed(jobs))

    assert await all_claimed(outbox) == [job.id for job in jobs]


# Announcements


async def test_announcement_has_the_state_and_the_time_of_the_first_read(
    mine: WatchStore, outbox: OutboxStore, clock: Clock
) -> None:
    job = a_download()
    await start_watch(mine, job)

    post = await claimed(outbox)

    assert post.job.ref == job_ref(job.id)
    assert (post.job.state, post.job.shown) == (WatchedState.IN_PROGRESS, JobFingerprint.of(job))
    assert (post.job.first_seen_at, post.attempts) == (clock.now, 1)
    assert (post.job.message, post.job.request) == (None, None)


async def test_announcement_tells_jobs_of_the_first_read_from_later_ones(
    mine: WatchStore, outbox: OutboxStore, clock: Clock
) -> None:
    before, after = a_download(), a_download()
    await start_watch(mine, before)
    first = await claimed(outbox)
    await outbox.mark_sent(first, "C0WATCH", "1.1")
    clock.forward(60)
    await mine.acquire(PROJECT_ID)
    await announced(mine, after, before)

    assert (first.job.was_running, (await claimed(outbox)).job.was_running) == (True, False)


async def test_claimed_announcement_is_not_claimed_again_until_its_lease_runs_out(
    mine: WatchStore, outbox: OutboxStore, clock: Clock
) -> None:
    await start_watch(mine, a_download())
    first = await claimed(outbox)
    assert await claim(outbox) is None
    clock.forward(CLAIM.total_seconds())

    second = await claimed(outbox)

    assert second == replace(first, attempts=2)


async def test_two_replicas_share_the_announcements(
    mine: WatchStore, database: Database, clock: Clock
) -> None:
    jobs = [a_download() for _ in range(6)]
    await start_watch(mine, *jobs)

    async def take_all(outbox: OutboxStore) -> list[Announcement | None]:
        return [await claim(outbox) for _ in range(20)]

    replicas = [OutboxStore(database, clock) for _ in range(2)]
    taken = itertools.chain(*await asyncio.gather(*(take_all(each) for each in replicas)))

    assert sorted(each.job.ref.job_id for each in taken if each) == sorted(job.id for job in jobs)


async def test_announcements_come_after_all_posts_about_requests(
    mine: WatchStore, ledger: RequestStore, outbox: OutboxStore
) -> None:
    await start_watch(mine, a_download(), a_download())
    request = await ledger.create(a_request(), RINA)

    found = await outbox.claim("replica-1", 8, 1)

    assert len(found) == 2
    assert [post.request.id for post in found if isinstance(post, RequestPost)] == [request.id]


async def test_announcements_take_no_place_of_posts_about_requests(
    mine: WatchStore, ledger: RequestStore, outbox: OutboxStore
) -> None:
    await start_watch(mine, a_download(), a_download())
    await ledger.create(a_request(), RINA)

    found = await outbox.claim("replica-1", 1, 0)

    assert [type(post) for post in found] == [RequestPost]


async def test_delivered_announcement_is_not_due_again(
    mine: WatchStore, outbox: OutboxStore, clock: Clock
) -> None:
    await start_watch(mine, a_download())
    await deliver(outbox, await claimed(outbox))
    clock.forward(3600)

    assert await claim(outbox) is None


async def test_old_announcement_is_pruned_from_the_outbox_and_its_place_stays(
    mine: WatchStore, outbox: OutboxStore, ledger: RequestStore, database: Database, clock: Clock
) -> None:
    job = a_download()
    await start_watch(mine, job)
    await deliver(outbox, await claimed(outbox))
    clock.forward(1)

    await ledger.prune(clock.now)

    assert await database.read(lambda db: db.execute(select(posts)).all()) == []
    await announced(mine, a_download(id=job.id, expired=True))
    assert (await claimed(outbox)).job.message == HERE


async def test_change_is_delivered_to_the_place_of_the_announcement(
    mine: WatchStore, outbox: OutboxStore
) -> None:
    job = a_download()
    await start_watch(mine, job)
    await deliver(outbox, await claimed(outbox))
    assert await announced(mine, a_download(id=job.id, expired=True)) == [
        (job.id, WatchedState.EXPIRED)
    ]

    post = await claimed(outbox)

    assert (post.job.state, post.job.message) == (WatchedState.EXPIRED, HERE)


async def test_changes_before_the_delivery_need_one_post(
    mine: WatchStore, outbox: OutboxStore
) -> None:
    job = a_download()
    await start_watch(mine, job)
    await announced(mine, a_download(id=job.id, deliveryUrl=["https://x.invalid/y"]))
    await announced(mine, a_download(id=job.id, expired=True))

    post = await claimed(outbox)
    await deliver(outbox, post)

    assert post.job.state is WatchedState.EXPIRED
    assert await claim(outbox) is None


async def test_changes_before_an_update_need_one_post(
    mine: WatchStore, outbox: OutboxStore, clock: Clock
) -> None:
    """An update that was attempted shows the newest state when it is repeated."""
    job = a_download()
    await start_watch(mine, job)
    await deliver(outbox, await claimed(outbox))
    await announced(mine, a_download(id=job.id, deliveryUrl=["https://x.invalid/y"]))
    await outbox.retry_later(await claimed(outbox), 1, "no answer")
    await announced(mine, a_download(id=job.id, expired=True))
    clock.forward(1)

    post = await claimed(outbox)
    await deliver(outbox, post)

    assert post.job.state is WatchedState.EXPIRED
    assert await claim(outbox) is None


async def test_change_during_a_delivery_is_a_post_of_its_own(
    mine: WatchStore, outbox: OutboxStore
) -> None:
    job = a_download()
    await start_watch(mine, job)
    first = await claimed(outbox)
    await announced(mine, a_download(id=job.id, cancelled=True))
    assert await claim(outbox) is None  # it waits for the first one

    await deliver(outbox, first)

    assert (await claimed(outbox)).job.state is WatchedState.CANCELLED


async def test_change_after_a_lost_answer_updates_the_announcement(
    mine: WatchStore, outbox: OutboxStore, clock: Clock
) -> None:
    """Slack may have the first attempt, and takes the repetition for the same message."""
    job = a_download()
    await start_watch(mine, job)
    first = await claimed(outbox)
    await outbox.retry_later(first, 1, "no answer")
    await announced(mine, a_download(id=job.id, cancelled=True))
    clock.forward(1)
    again = await claimed(outbox)
    assert again.client_msg_id == first.client_msg_id
    await deliver(outbox, again)

    update = await claimed(outbox)

    assert (update.job.state, update.job.message) == (WatchedState.CANCELLED, HERE)


async def test_announcement_to_retry_waits(
    mine: WatchStore, outbox: OutboxStore, clock: Clock
) -> None:
    await start_watch(mine, a_download())
    await outbox.retry_later(await claimed(outbox), 30, "x" * 1000)
    assert await claim(outbox) is None
    clock.forward(30)

    assert (await claimed(outbox)).attempts == 2


async def test_dropped_announcement_is_posted_only_when_the_job_changes(
    mine: WatchStore, outbox: OutboxStore, clock: Clock, database: Database
) -> None:
    job = a_download()
    await start_watch(mine, job)
    await outbox.drop(await claimed(outbox), "no such channel")
    clock.forward(CLAIM.total_seconds())
    assert await claim(outbox) is None
    error = select(posts.c.error)
    assert await database.read(lambda db: db.scalar(error)) == "no such channel"

    await announced(mine, a_download(id=job.id, failed=True))

    post = await claimed(outbox)
    assert (post.job.state, post.job.message) == (WatchedState.FAILED, None)


async def test_announcement_has_the_newest_request_for_the_job(
    mine: WatchStore, outbox: OutboxStore, ledger: RequestStore
) -> None:
    job = a_download()
    request = a_request(ref=job_ref(job.id))
    await start_watch(mine, job)
    await ledger.create(request, RINA)

    assert (await claimed(outbox)).job.request == await ledger.get(request.id)


async def test_job_that_disappears_and_comes_back_is_announced_twice(mine: WatchStore) -> None:
    job = a_download()
    await start_watch(mine, job)

    assert await announced(mine) == [(job.id, WatchedState.GONE)]
    assert await announced(mine, job) == [(job.id, WatchedState.IN_PROGRESS)]


# The schema


def explained(sql: str, db: Connection) -> Sequence[Any]:
    return db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").mappings().all()


async def test_statements_use_their_indexes(database: Database) -> None:
    """Watched jobs are never deleted, so no statement may read them all."""
    if not database.is_sqlite:
        return
    asked = [
        pending_announcements(1),
        clusters_with_open_jobs(PROJECT_ID),
        jobs_of(PROJECT_ID, CLUSTER),
        jobs_among([1, 2]),
        newest_request_for(job_ref()),
    ]
    for statement in asked:
        sql = statement.compile(database.engine, compile_kwargs={"literal_binds": True})
        plan = await database.read(partial(explained, str(sql)))

        assert not [row for row in plan if row["detail"].startswith("SCAN")], plan
