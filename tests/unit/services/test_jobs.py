"""The service of jobs: few calls of Atlas, and a feed that is late, empty or refused."""

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from bot.atlas import RESTORE_REQUESTED, ActivityEvent, RoleMissing, Unavailable
from bot.cancellation.job import LinkPhase
from bot.cancellation.lifecycle import State
from bot.cancellation.starter import SETTLED_AFTER, StartedBy, Starter, StarterKind, StarterStatus
from bot.storage.watch_store import WatchStore
from bot.timings import Timings
from tests.support.clock import NOON
from tests.support.domain import JOB_ID, PROJECT_ID, a_job, a_request, a_waiting_request, job_ref
from tests.support.service import ServiceOnSqlite

REF = job_ref(f"{int(NOON.timestamp()):08x}{'a' * 16}")
EVENT = ActivityEvent(
    id=f"{int(NOON.timestamp()):08x}{'b' * 16}",
    created=NOON,
    event_type_name=RESTORE_REQUESTED,
    username="dana@shop.example",
)


@pytest.fixture
async def given(tmp_path: Path) -> AsyncIterator[ServiceOnSqlite]:
    given = ServiceOnSqlite(tmp_path)
    given.atlas[PROJECT_ID].jobs["prod-eu"] = [a_job(id=REF.job_id)]
    yield given
    await given.database.close()


async def starter_status(given: ServiceOnSqlite) -> StarterStatus:
    return (await given.service.jobs.look_up(REF, timeout=1.0)).known.started_by.knowledge


async def test_recorded_job_is_found_without_a_call(given: ServiceOnSqlite) -> None:
    await given.service.jobs.store.record(REF)
    find = partial(given.service.jobs.recorded_cluster, REF.job_id, given.projects.all)
    found = [await find(cluster) for cluster in (None, REF.cluster_name, "another")]

    assert [each and each.job(REF.job_id) for each in found] == [REF, REF, None]
    assert given.atlas[PROJECT_ID].calls == []


async def test_one_read_of_the_feed_serves_many_lookups(given: ServiceOnSqlite) -> None:
    for _ in range(3):
        assert await starter_status(given) is StarterStatus.TOO_EARLY

    assert given.atlas[PROJECT_ID].feed_reads == 1


@pytest.mark.parametrize(
    ("visible_at", "watch_interval"), [(2, None), (1, 15)], ids=["not watched", "watched"]
)
async def test_starter_is_recorded_within_18_seconds_of_the_event(
    given: ServiceOnSqlite, visible_at: int, watch_interval: int | None
) -> None:
    jobs = given.service.jobs
    await given.insert(a_waiting_request(ref=REF))
    found_at = None
    for second in range(visible_at + 25):
        if second == visible_at:  # just after the last read
            given.atlas[PROJECT_ID].events_found.append(EVENT)
        if second % Timings.job_facts_interval == 1:
            await jobs.follow()
            if (await jobs.store.get([REF]))[REF].started_by.starter:
                found_at = found_at or second
        if watch_interval and second % watch_interval == 0:
            await jobs.feeds.read_since(PROJECT_ID, None, max_age=1.0)
        given.clock.advance(1)

    assert found_at
    assert found_at - visible_at <= 18


async def test_empty_feed_of_an_older_job_has_no_starter(given: ServiceOnSqlite) -> None:
    given.clock.advance(90)

    assert await starter_status(given) is StarterStatus.NOT_IN_FEED


async def test_refused_feed_is_unknown_and_read_again_only_later(given: ServiceOnSqlite) -> None:
    given.atlas[PROJECT_ID].feed_fault = RoleMissing(status=403)
    assert await starter_status(given) is StarterStatus.NOT_KNOWN
    await starter_status(given)

    assert given.atlas[PROJECT_ID].feed_reads == 1


async def test_unanswered_feed_leaves_the_starter_as_it_was(given: ServiceOnSqlite) -> None:
    given.atlas[PROJECT_ID].feed_fault = Unavailable(status=503)

    assert await starter_status(given) is StarterStatus.TOO_EARLY


@pytest.mark.parametrize("state", [State.AWAITING, State.FAILED])
async def test_job_of_a_request_that_waits_or_failed_is_read_again_and_others_are_not(
    given: ServiceOnSqlite, state: State
) -> None:
    atlas = given.atlas[PROJECT_ID]
    await given.insert(a_request(ref=REF, state=state))
    await given.insert(a_request(ref=job_ref(JOB_ID), state=State.EXPIRED))
    for ref in (REF, job_ref(JOB_ID)):
        await given.service.jobs.store.record(ref)
    await given.service.jobs.follow()

    assert atlas.calls == ["prod-eu"]


@pytest.mark.parametrize(
    ("is_certain", "age", "reads"),
    [(True, SETTLED_AFTER, 0), (True, SETTLED_AFTER / 2, 1), (False, SETTLED_AFTER, 1)],
)
async def test_starter_is_searched_until_it_is_certain_and_no_later_event_changes_it(
    given: ServiceOnSqlite, is_certain: bool, age: timedelta, reads: int
) -> None:
    dana = Starter(kind=StarterKind.USER, name="dana@shop.example", certain=is_certain)
    await given.insert(a_waiting_request(ref=REF))
    known = StartedBy(StarterStatus.KNOWN, dana)
    await given.service.jobs.store.record(REF, started_by=known)
    given.clock.advance(age.total_seconds())
    await given.service.jobs.follow()

    assert given.atlas[PROJECT_ID].feed_reads == reads


@pytest.mark.parametrize(
    ("changes", "phase"),
    [({}, LinkPhase.LIVE), ({"deliveryUrl": [], "expired": True}, LinkPhase.ENDED), (None, None)],
    ids=["still there", "expired", "not read"],
)
async def test_link_that_the_clock_ends_is_told_as_atlas_shows_it_while_it_answers(
    given: ServiceOnSqlite, changes: dict[str, object] | None, phase: LinkPhase | None
) -> None:
    atlas, store = given.atlas[PROJECT_ID], given.service.jobs.store
    expiry = (given.clock() + timedelta(minutes=1)).isoformat()
    link = {"id": REF.job_id, "deliveryUrl": ["https://x.invalid/y"], "expiresAt": expiry}
    watch = WatchStore(given.database, given.clock, "watch")
    await watch.record_clusters(PROJECT_ID, ["prod-eu"])
    await watch.record_jobs(PROJECT_ID, "prod-eu", [a_job(**link)])
    atlas.jobs["prod-eu"] = [] if changes is None else [a_job(**link | changes)]
    given.clock.advance(120)
    for _ in range(2):
        await given.service.jobs.follow()

    job = (await store.get([REF]))[REF]
    assert job.phase is (phase or LinkPhase.ENDED)
    assert len(atlas.calls) == (1 if changes is not None else 2)
