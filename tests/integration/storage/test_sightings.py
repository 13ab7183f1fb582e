"""What the watch writes down: one lease a project, one row a job, one delivery at a time."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select

from bot.cancellation.lifecycle import Card, JobFingerprint
from bot.cancellation.watched_job import WatchedState
from bot.storage.queries import watch as statements
from bot.storage.tables import watched_jobs
from bot.storage.watch_store import AT_ONCE, CLAIM, FORGOTTEN, LEASE, WatchStore
from tests.support.domain import PROJECT_ID, RINA, a_job, a_request, job_ref, new_job_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from bot.atlas import RestoreJob
    from bot.cancellation.watched_job import WatchedJob
    from bot.storage.database import Database
    from bot.storage.request_store import RequestStore
    from tests.support.domain import Clock

CLUSTER = "prod-eu"
HERE = Card(channel="C0WATCH", ts="1700000000.000100")


@pytest.fixture
def mine(database: Database, clock: Clock) -> WatchStore:
    return WatchStore(database, clock, "replica-1")


@pytest.fixture
def theirs(database: Database, clock: Clock) -> WatchStore:
    return WatchStore(database, clock, "replica-2")


async def begun(watch: WatchStore, *jobs: RestoreJob) -> None:
    """Let a watch begin with a cluster in which `jobs` are."""
    assert await watch.hold(PROJECT_ID)
    assert await watch.adopt(PROJECT_ID, [CLUSTER]) == []
    assert await watch.note(PROJECT_ID, CLUSTER, jobs) is not None


async def told(watch: WatchStore, *jobs: RestoreJob) -> list[tuple[str, WatchedState]]:
    findings = await watch.note(PROJECT_ID, CLUSTER, jobs)
    assert findings is not None
    return [(each.job_id, each.seen) for each in findings]


async def claimed(watch: WatchStore) -> WatchedJob:
    sighting = await watch.claim()
    assert sighting is not None
    return sighting


async def all_claimed(watch: WatchStore) -> list[str]:
    found = []
    while sighting := await watch.claim():
        found.append(sighting.ref.job_id)
    return found


def a_download(**changes: Any) -> RestoreJob:
    return a_job(**{"id": new_job_id()} | changes)


# Who looks


async def test_one_replica_looks_at_a_project(mine: WatchStore, theirs: WatchStore) -> None:
    assert [await mine.hold(PROJECT_ID), await theirs.hold(PROJECT_ID)] == [True, False]


async def test_of_replicas_that_start_together_one_looks(database: Database, clock: Clock) -> None:
    replicas = [WatchStore(database, clock, f"replica-{number}") for number in range(5)]

    held = await asyncio.gather(*(each.hold(PROJECT_ID) for each in replicas))

    assert sum(held) == 1


async def test_a_lease_that_ran_out_is_taken_over(
    mine: WatchStore, theirs: WatchStore, clock: Clock
) -> None:
    await begun(mine)
    clock.forward(LEASE.total_seconds() + 1)

    assert await theirs.hold(PROJECT_ID)
    assert await mine.note(PROJECT_ID, CLUSTER, [a_download()]) is None
    assert await mine.adopt(PROJECT_ID, ["other"]) is None
    assert await mine.hold(PROJECT_ID) is False


async def test_a_released_project_is_free_at_once(mine: WatchStore, theirs: WatchStore) -> None:
    await mine.hold(PROJECT_ID)
    await theirs.release(PROJECT_ID)
    assert await theirs.hold(PROJECT_ID) is False
    await mine.release(PROJECT_ID)

    assert await theirs.hold(PROJECT_ID) is True


async def test_each_project_has_a_lease_of_its_own(mine: WatchStore, theirs: WatchStore) -> None:
    await mine.hold(PROJECT_ID)

    assert await theirs.hold("f" * 24) is True


async def test_writing_down_renews_the_lease(
    mine: WatchStore, theirs: WatchStore, clock: Clock
) -> None:
    await begun(mine)
    clock.forward(LEASE.total_seconds() - 1)
    await mine.note(PROJECT_ID, CLUSTER, [])
    clock.forward(LEASE.total_seconds() - 1)

    assert await theirs.hold(PROJECT_ID) is False


# What is news


async def test_the_first_look_tells_only_of_what_can_be_cancelled(mine: WatchStore) -> None:
    running, live = a_download(), a_download(deliveryUrl=["https://x.invalid/y"])
    over = [a_download(**{flag: True}) for flag in ("cancelled", "expired", "failed")]
    other = a_job(id=new_job_id(), deliveryType="automated")

    await begun(mine, live, running, *over, other)

    assert await all_claimed(mine) == [running.id, live.id]
    assert await told(mine, live, running, *over, other) == []


async def test_later_looks_tell_of_what_has_come_and_gone_too(mine: WatchStore) -> None:
    await begun(mine)
    gone, running = a_download(expired=True), a_download()

    assert await told(mine, running, gone) == [
        (gone.id, WatchedState.EXPIRED),
        (running.id, WatchedState.IN_PROGRESS),
    ]


async def test_in_a_cluster_that_is_new_everything_is_news(mine: WatchStore) -> None:
    await begun(mine)
    await mine.adopt(PROJECT_ID, [CLUSTER, "brand-new"])

    findings = await mine.note(PROJECT_ID, "brand-new", [a_download(cancelled=True)])

    assert findings
    assert [each.seen for each in findings] == [WatchedState.CANCELLED]


async def test_a_first_look_that_comes_late_is_a_first_look(mine: WatchStore, clock: Clock) -> None:
    await mine.hold(PROJECT_ID)
    await mine.adopt(PROJECT_ID, [CLUSTER])
    clock.forward(15)
    await mine.adopt(PROJECT_ID, [CLUSTER])

    assert await told(mine, a_download(expired=True)) == []


async def test_another_replica_goes_on_where_one_has_ended(
    mine: WatchStore, theirs: WatchStore
) -> None:
    known, new = a_download(), a_download(cancelled=True)
    await begun(mine, known)
    await mine.release(PROJECT_ID)
    assert await theirs.hold(PROJECT_ID)
    await theirs.adopt(PROJECT_ID, [CLUSTER])

    assert await told(theirs, new, known) == [(new.id, WatchedState.CANCELLED)]


async def test_after_a_week_without_a_look_the_watch_begins_anew(
    mine: WatchStore, clock: Clock
) -> None:
    known = a_download()
    await begun(mine, known)
    clock.forward(FORGOTTEN.total_seconds() + LEASE.total_seconds() + 1)
    await mine.hold(PROJECT_ID)
    await mine.adopt(PROJECT_ID, [CLUSTER])
    came, running = a_download(expired=True), a_download()

    assert await told(mine, running, came, known) == [(running.id, WatchedState.IN_PROGRESS)]


async def test_a_cluster_that_is_no_more_is_named_while_jobs_are_open_in_it(
    mine: WatchStore,
) -> None:
    await begun(mine, a_download())

    assert await mine.adopt(PROJECT_ID, ["other"]) == [CLUSTER]
    await mine.note(PROJECT_ID, CLUSTER, [])
    assert await mine.adopt(PROJECT_ID, ["other"]) == []


async def test_a_long_history_is_written_down_in_one_go(
    mine: WatchStore, database: Database
) -> None:
    history = [a_download(expired=True) for _ in range(AT_ONCE * 2 + 1)]

    await begun(mine, *history)

    count = select(func.count()).select_from(watched_jobs)
    assert await database.read(lambda db: db.scalar(count)) == len(history)
    assert await mine.claim() is None


# What is told, and by whom


async def test_a_sighting_says_what_was_seen_and_when(mine: WatchStore, clock: Clock) -> None:
    job = a_download()
    await begun(mine, job)

    sighting = await claimed(mine)

    assert sighting.ref == job_ref(job.id)
    assert (sighting.seen, sighting.shown) == (WatchedState.IN_PROGRESS, JobFingerprint.of(job))
    assert (sighting.first_seen_at, sighting.version, sighting.attempts) == (clock.now, 1, 1)
    assert (sighting.message, sighting.request) == (None, None)


async def test_what_one_delivers_no_other_does(
    mine: WatchStore, theirs: WatchStore, clock: Clock
) -> None:
    await begun(mine, a_download())
    first = await claimed(mine)
    assert await theirs.claim() is None
    clock.forward(CLAIM.total_seconds())

    second = await claimed(theirs)

    assert second == replace(first, attempts=2)


async def test_two_that_claim_at_once_share(mine: WatchStore, theirs: WatchStore) -> None:
    jobs = [a_download() for _ in range(6)]
    await begun(mine, *jobs)

    async def take_all(watch: WatchStore) -> list[WatchedJob | None]:
        return [await watch.claim() for _ in range(20)]  # one that was lost to the other is no end

    taken = itertools.chain(*await asyncio.gather(take_all(mine), take_all(theirs)))

    assert sorted(each.ref.job_id for each in taken if each) == sorted(job.id for job in jobs)


async def test_what_is_told_is_due_no_more(mine: WatchStore, clock: Clock) -> None:
    await begun(mine, a_download())
    await mine.told(await claimed(mine), HERE, current=True)
    clock.forward(3600)

    assert await mine.claim() is None


async def test_a_change_is_told_at_the_place_of_the_announcement(mine: WatchStore) -> None:
    job = a_download()
    await begun(mine, job)
    await mine.told(await claimed(mine), HERE, current=True)
    assert await told(mine, a_download(id=job.id, expired=True)) == [(job.id, WatchedState.EXPIRED)]

    sighting = await claimed(mine)

    assert (sighting.seen, sighting.message, sighting.version) == (WatchedState.EXPIRED, HERE, 2)


async def test_a_change_during_a_delivery_stays_due(mine: WatchStore) -> None:
    job = a_download()
    await begun(mine, job)
    first = await claimed(mine)
    await told(mine, a_download(id=job.id, cancelled=True))
    assert await mine.claim() is None  # in delivery

    await mine.told(first, HERE, current=True)

    assert (await claimed(mine)).seen is WatchedState.CANCELLED


async def test_what_may_be_out_of_date_is_due_again_at_once(mine: WatchStore) -> None:
    await begun(mine, a_download())
    await mine.told(await claimed(mine), HERE, current=False)

    assert (await claimed(mine)).message == HERE


async def test_what_is_put_back_waits(mine: WatchStore, clock: Clock) -> None:
    await begun(mine, a_download())
    await mine.again(await claimed(mine), 30, "x" * 1000)
    assert await mine.claim() is None
    clock.forward(30)

    assert (await claimed(mine)).attempts == 2


async def test_what_is_given_up_is_due_again_only_when_it_changes(
    mine: WatchStore, clock: Clock, database: Database
) -> None:
    job = a_download()
    await begun(mine, job)
    await mine.given_up(await claimed(mine), "no such channel")
    clock.forward(CLAIM.total_seconds())
    assert await mine.claim() is None
    error = select(watched_jobs.c.error)
    assert await database.read(lambda db: db.scalar(error)) == "no such channel"

    await told(mine, a_download(id=job.id, failed=True))

    assert (await claimed(mine)).seen is WatchedState.FAILED


async def test_a_sighting_knows_our_newest_request_for_its_job(
    mine: WatchStore, ledger: RequestStore
) -> None:
    job = a_download()
    request = a_request(ref=job_ref(job.id))
    await begun(mine, job)
    await ledger.create(request, RINA)

    assert (await claimed(mine)).request == await ledger.get(request.id)


async def test_a_job_that_is_listed_no_more_and_comes_back_is_told_twice(mine: WatchStore) -> None:
    job = a_download()
    await begun(mine, job)

    assert await told(mine) == [(job.id, WatchedState.GONE)]
    assert await told(mine, job) == [(job.id, WatchedState.IN_PROGRESS)]


# The schema


def explained(sql: str, db: Connection) -> Sequence[Any]:
    return db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").mappings().all()


async def test_looks_use_their_indexes(database: Database, clock: Clock) -> None:
    """Sightings are kept for ever, so no statement may read them all."""
    if not database.is_sqlite:
        return
    asked = [
        statements.due_sightings(clock.now),
        statements.clusters_with_open_jobs(PROJECT_ID),
        statements.sightings_in(PROJECT_ID, CLUSTER),
        statements.newest_request_for(job_ref()),
    ]
    for statement in asked:
        sql = statement.compile(database.engine, compile_kwargs={"literal_binds": True})
        plan = await database.read(partial(explained, str(sql)))

        assert not [row for row in plan if row["detail"].startswith("SCAN")], plan
