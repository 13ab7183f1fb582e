"""The leader's lease: one holder, whose transactions alone are committed, on both databases."""

import asyncio

import psycopg
import pytest

from bot.cancellation.errors import NotRecorded
from bot.cancellation.posts import JobPost
from bot.storage.outbox_store import OutboxStore
from bot.storage.replicas import LeaderLease
from bot.storage.watch_store import WatchStore
from tests.integration.storage.conftest import Stores
from tests.support.domain import PROJECT_ID, a_job
from tests.support.polling import wait_until

SECONDS = 10.0


def a_lease(env: Stores, owner: str) -> LeaderLease:
    return LeaderLease(env.database, env.clock, owner, SECONDS)


async def test_one_of_several_replicas_leads_until_its_lease_runs_out(env: Stores) -> None:
    replicas = [a_lease(env, f"replica-{number}") for number in range(5)]

    held = await asyncio.gather(*(each.acquire() for each in replicas))

    assert sum(held) == 1
    leader, other = replicas[held.index(True)], replicas[held.index(False)]
    env.clock.advance(SECONDS - 1)
    assert await leader.acquire()
    env.clock.advance(SECONDS - 1)
    assert not await other.acquire()
    env.clock.advance(1)
    assert await other.acquire()
    assert not await leader.acquire()


async def test_released_lease_is_free_immediately(env: Stores) -> None:
    mine, theirs = a_lease(env, "mine"), a_lease(env, "theirs")
    await mine.acquire()
    await theirs.release()
    assert not await theirs.acquire()
    await mine.release()

    assert await theirs.acquire()


async def test_lease_from_before_the_clock_was_set_back_is_free(env: Stores) -> None:
    assert await a_lease(env, "mine").acquire()
    env.clock.advance(-3600)

    assert await a_lease(env, "theirs").acquire()


async def test_former_leader_writes_nothing(env: Stores) -> None:
    mine, theirs = a_lease(env, "mine"), a_lease(env, "theirs")
    watch = WatchStore(env.database, env.clock, "mine", fence=mine.check_held)
    with pytest.raises(NotRecorded):
        await watch.record_watch(PROJECT_ID)
    await mine.acquire()
    await watch.record_watch(PROJECT_ID)

    env.clock.advance(SECONDS)
    with pytest.raises(NotRecorded):
        await watch.record_clusters(PROJECT_ID, ["prod-eu"])
    await theirs.acquire()
    with pytest.raises(NotRecorded):
        await watch.record_clusters(PROJECT_ID, ["prod-eu"])


@pytest.mark.databases("postgresql")
async def test_takeover_waits_for_a_commit_that_the_lease_allowed(
    env: Stores, database_url: str
) -> None:
    mine, theirs = a_lease(env, "mine"), a_lease(env, "theirs")
    await mine.acquire()
    with psycopg.connect(database_url) as session:  # of the leader, after its check of the lease
        session.execute("SELECT * FROM leases FOR SHARE")
        env.clock.advance(SECONDS)
        taking = asyncio.create_task(theirs.acquire())
        await asyncio.sleep(0.3)
        assert not taking.done()
    await wait_until(taking.done)
    assert await taking


async def test_replica_that_knows_no_leader_works_beside_the_leader_and_repeats_nothing(
    env: Stores,
) -> None:
    """That is one of the edition before, during an upgrade."""
    lease = a_lease(env, "new")
    await lease.acquire()
    new = WatchStore(env.database, env.clock, "new", fence=lease.check_held)
    old = WatchStore(env.database, env.clock, "old")
    for watch in (new, old):
        await watch.record_watch(PROJECT_ID)
        await watch.record_clusters(PROJECT_ID, ["prod-eu"])
        await watch.record_jobs(PROJECT_ID, "prod-eu", [])
    reads = [watch.record_jobs(PROJECT_ID, "prod-eu", [a_job()]) for watch in (new, old)]
    await asyncio.gather(*reads)
    outboxes = [
        OutboxStore(env.database, env.clock, fence=lease.check_held),
        OutboxStore(env.database, env.clock),
    ]
    names = ("new", "old")
    claimed = await asyncio.gather(
        *(outbox.claim(name, 8, 8) for outbox, name in zip(outboxes, names, strict=True))
    )

    assert [type(post) for posts in claimed for post in posts] == [JobPost]
