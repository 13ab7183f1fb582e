"""The watch store: one row per job, one message per job."""

import json
from datetime import timedelta
from typing import Any

import pytest
import structlog
from sqlalchemy import select

from bot.atlas import JobRef, JobState, RestoreJob
from bot.cancellation.lifecycle import Card, JobFingerprint, State
from bot.cancellation.posts import JobPost, RequestPost
from bot.storage.history import RETENTION
from bot.storage.outbox_store import LEASE as CLAIM
from bot.storage.tables import posts
from bot.storage.watch_store import LEASE, WatchStore
from tests.integration.storage.conftest import Stores
from tests.support.domain import (
    ABE,
    PROJECT_ID,
    RINA,
    a_job,
    a_request,
    a_waiting_request,
    allow,
    job_ref,
    new_job_id,
)

CLUSTER = "prod-eu"
HERE = Card(channel="C0WATCH", ts="1700000000.000100")


async def start_watch(watch: WatchStore, *jobs: RestoreJob) -> None:
    """Start a watch of a cluster with `jobs`."""
    await watch.record_watch(PROJECT_ID)
    assert await watch.record_clusters(PROJECT_ID, [CLUSTER]) == []
    await watch.record_jobs(PROJECT_ID, CLUSTER, jobs)


async def test_jobs_of_a_cluster_were_running_until_a_complete_list_lacked_it(
    env: Stores,
) -> None:
    await env.watch.record_clusters(PROJECT_ID, [CLUSTER], is_complete=False)
    found: dict[str, bool | None] = {}
    for name in ("left-out", "created"):
        next_leader = WatchStore(env.database, env.clock, name)
        await next_leader.record_clusters(PROJECT_ID, [CLUSTER, "left-out", name])
        await next_leader.record_jobs(PROJECT_ID, name, [a_job(id=new_job_id())])
        found[name] = (await claimed(env)).job.was_running

    assert found == {"left-out": True, "created": False}


async def test_watch_that_begins_again_after_a_while_is_logged(env: Stores) -> None:
    with structlog.testing.capture_logs() as log:
        for seconds in (0.0, 15.0, 60.0):
            env.clock.advance(seconds)
            await env.watch.record_watch(PROJECT_ID)

    until = env.clock() - timedelta(seconds=60) + LEASE
    assert [line["since"] for line in log] == [str(until)]


async def read(env: Stores, *jobs: RestoreJob) -> None:
    await env.watch.record_jobs(PROJECT_ID, CLUSTER, jobs)


async def claim(env: Stores) -> JobPost | None:
    found = await env.outbox.claim(env.new_owner(), 8, 1)
    return next((post for post in found if isinstance(post, JobPost)), None)


async def claimed(env: Stores) -> JobPost:
    post = await claim(env)
    assert post is not None
    return post


async def all_claimed(env: Stores) -> list[str]:
    found = []
    while post := await claim(env):
        found.append(post.job.ref.job_id)
    return found


async def deliver(env: Stores, post: JobPost) -> None:
    await env.outbox.mark_sent(post, HERE.channel, HERE.ts)


async def watched(env: Stores, *, is_announced: bool = False) -> RestoreJob:
    """Start a watch of a cluster with one job."""
    job = a_download()
    await start_watch(env.watch, job)
    if is_announced:
        await deliver(env, await claimed(env))
    return job


def a_download(**changes: Any) -> RestoreJob:
    return a_job(**{"id": new_job_id()} | changes)


# When all clusters were read


async def test_time_of_the_reads_is_of_one_project_also_ahead_of_the_clock(env: Stores) -> None:
    ahead = env.clock() + timedelta(minutes=10)
    await env.watch.record_watch(PROJECT_ID, ahead)
    await env.watch.record_watch("f" * 24, env.clock())

    known = await env.jobs.known(JobRef(PROJECT_ID, CLUSTER, new_job_id()))
    assert known.all_read_at == ahead


@pytest.mark.parametrize("ahead", [0, 3600])
async def test_recent_restores_of_other_kinds_and_unreadable_jobs_are_nearby_and_not_announced(
    env: Stores, ahead: int
) -> None:
    await start_watch(env.watch)
    now = int(env.clock().timestamp()) - ahead
    recent, unread, old, download = (f"{now - age:08x}{'a' * 16}" for age in (2, 1, 700, 0))
    others = [a_job(id=each, deliveryType="automated") for each in (recent, old)]

    await env.watch.record_jobs(PROJECT_ID, CLUSTER, others, [unread])

    assert await claim(env) is None
    for job_id, found in ((download, [recent, unread]), (f"{old[:-1]}f", [])):
        known = await env.jobs.known(JobRef(PROJECT_ID, CLUSTER, job_id))
        assert known.other_jobs == found


# Changes


async def test_first_read_announces_only_jobs_that_can_be_cancelled(env: Stores) -> None:
    running, live = a_download(), a_download(deliveryUrl=["https://x.invalid/y"])
    over = [a_download(**{flag: True}) for flag in ("cancelled", "expired", "failed")]
    other = a_job(id=new_job_id(), deliveryType="automated")

    await start_watch(env.watch, live, running, *over, other)

    assert await all_claimed(env) == [running.id, live.id]
    await read(env, live, running, *over, other)
    assert await claim(env) is None


async def test_download_that_runs_when_its_cluster_becomes_watched_is_announced_as_running(
    env: Stores,
) -> None:
    await env.watch.record_watch(PROJECT_ID)
    await env.watch.record_clusters(PROJECT_ID, [CLUSTER])
    known, ended, unknown, between, new = (a_download() for _ in range(5))
    for _ in range(2):
        await env.watch.record_jobs(PROJECT_ID, CLUSTER, [ended, known], is_watched=False)
    over = ended.model_copy(update={"failed": True})
    await read(env, unknown, over, known)
    assert await all_claimed(env) == [known.id, unknown.id]
    await env.watch.record_jobs(PROJECT_ID, CLUSTER, [unknown, over, known], is_watched=False)
    failed = known.model_copy(update={"failed": True})
    await read(env, between, unknown, over, failed)
    await read(env, new, between, unknown, over, failed)

    events = [(line.subject, line.event, line.detail) async for line in env.record.events()]
    seen = [
        (job, json.loads(detail)["before_watch"])
        for job, name, detail in events
        if name == "download:seen"
    ]
    assert seen == [(known.id, True), (unknown.id, True), (between.id, True), (new.id, False)]
    assert [job for job, name, _ in events if name == "download:ended"] == [known.id]


async def test_watch_of_a_project_starts_anew_after_it_was_switched_off(env: Stores) -> None:
    known = a_download()
    await start_watch(env.watch, known)
    await env.watch.forget(PROJECT_ID)
    await env.watch.record_watch(PROJECT_ID)
    await env.watch.record_clusters(PROJECT_ID, [CLUSTER])
    ended_job, running = a_download(expired=True), a_download()

    await deliver(env, await claimed(env))
    await read(env, running, ended_job, known)
    post = await claimed(env)
    assert (post.job.ref.job_id, post.job.was_running) == (running.id, True)
    assert await claim(env) is None


async def test_deleted_cluster_is_returned_while_it_has_open_jobs(env: Stores) -> None:
    await start_watch(env.watch, a_download())

    assert await env.watch.record_clusters(PROJECT_ID, ["other"]) == [CLUSTER]
    await env.watch.record_jobs(PROJECT_ID, CLUSTER, [])
    assert await env.watch.record_clusters(PROJECT_ID, ["other"]) == []


async def test_downloads_are_counted_when_the_watch_begins_and_with_each_new_one(
    env: Stores,
) -> None:
    counts: list[tuple[str, int]] = []
    watch = WatchStore(
        env.database, env.clock, "one", on_seen=lambda *reported: counts.append(reported)
    )
    job = a_download()
    await start_watch(watch)
    for reads in ([job], [job.model_copy(update={"expired": True})]):
        await watch.record_jobs(PROJECT_ID, CLUSTER, reads)
    assert counts == [(PROJECT_ID, 0), (PROJECT_ID, 1)]

    await watch.record_clusters(PROJECT_ID, [CLUSTER])  # as another watch begins
    await watch.record_jobs(PROJECT_ID, CLUSTER, reads)
    assert counts[2:] == [(PROJECT_ID, 1)]


# Announcements


async def test_announcement_has_the_state_and_the_time_of_the_first_read(env: Stores) -> None:
    job = await watched(env)

    post = await claimed(env)

    assert post.job.ref == job_ref(job.id)
    assert (post.job.state, post.job.shown) == (JobState.IN_PROGRESS, JobFingerprint.of(job))
    assert (post.job.first_seen_at, post.attempts) == (env.clock.now, 1)
    assert (post.place, post.job.request) == (None, None)


async def test_announcements_come_after_all_posts_about_requests(env: Stores) -> None:
    await start_watch(env.watch, a_download(), a_download())
    request = await env.store.create(a_request(), RINA)

    found = await env.outbox.claim("replica-1", 8, 1)

    assert len(found) == 2
    assert [post.request.id for post in found if isinstance(post, RequestPost)] == [request.id]


async def test_change_is_delivered_to_the_place_of_the_announcement(env: Stores) -> None:
    job = await watched(env, is_announced=True)
    env.clock.advance(RETENTION.total_seconds() + 1)
    await env.history.delete_posts()
    await read(env, a_download(id=job.id, expired=True))

    post = await claimed(env)

    assert (post.job.state, post.place) == (JobState.EXPIRED, HERE)


async def test_changes_before_the_delivery_need_one_post(env: Stores) -> None:
    job = await watched(env)
    await read(env, a_download(id=job.id, deliveryUrl=["https://x.invalid/y"]))
    await read(env, a_download(id=job.id, expired=True))

    post = await claimed(env)
    await deliver(env, post)

    assert post.job.state is JobState.EXPIRED
    assert await claim(env) is None


async def test_new_announcement_is_posted_before_a_later_change_of_another(env: Stores) -> None:
    job, new = await watched(env, is_announced=True), a_download()
    env.clock.advance(1)
    await read(env, job, new)
    env.clock.advance(1)
    await read(env, a_download(id=job.id, cancelled=True), new)

    assert await all_claimed(env) == [new.id, job.id]


async def test_change_during_a_delivery_is_shown_by_an_edit(env: Stores) -> None:
    job = await watched(env)
    first = await claimed(env)
    await read(env, a_download(id=job.id, cancelled=True))
    assert await claim(env) is None  # it waits for the place

    await deliver(env, first)

    assert (await claimed(env)).job.state is JobState.CANCELLED


async def test_dropped_announcement_is_posted_only_when_the_job_changes(env: Stores) -> None:
    job = await watched(env)
    await env.outbox.drop(await claimed(env), "no such channel")
    env.clock.advance(CLAIM.total_seconds())
    assert await claim(env) is None
    error = select(posts.c.error)
    assert await env.database.read(lambda db: db.scalar(error)) == "no such channel"

    await read(env, a_download(id=job.id, failed=True))

    post = await claimed(env)
    assert (post.job.state, post.place) == (JobState.FAILED, None)


async def test_announcement_shows_that_a_person_asked_to_cancel_and_how_that_ended(
    env: Stores,
) -> None:
    job = await watched(env, is_announced=True)
    before = await claim(env)
    request = await env.store.create(a_waiting_request(ref=job_ref(job.id)), RINA)
    asked = await claimed(env)
    await deliver(env, asked)
    denied = await env.store.decide(request.id, State.DENIED, ABE, allow, reason="no")
    ended = await claimed(env)

    assert (before, asked.place, asked.job.request) == (None, HERE, request)
    assert (ended.place, ended.job.request) == (HERE, denied)
