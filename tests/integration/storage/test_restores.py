"""Restores into other projects: each new one is announced and recorded once, and is no download."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from bot.atlas import JobState, RestoreJob
from bot.cancellation.errors import MaybeRecorded
from bot.cancellation.posts import JobPost, PostKind
from bot.cancellation.starter import FEED_DELAY, StartedBy, Starter, StarterKind, StarterStatus
from bot.storage.audit_log import read_summary
from bot.storage.notice_store import NoticeStore
from bot.storage.tables import jobs
from bot.storage.watch_store import WatchStore
from tests.integration.storage.conftest import LostAnswers, Stores
from tests.support.domain import PROJECT_ID, a_job, job_ref, new_job_id

CLUSTER, OTHER = "prod-eu", "f" * 24
DANA = StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, name="dana"))


def a_restore(**changes: Any) -> RestoreJob:
    into = {"deliveryType": "automated", "targetGroupId": OTHER, "targetClusterName": "copy"}
    return a_job(**{"id": new_job_id(), **into, **changes})


async def start(env: Stores, *there: RestoreJob, watch_restores: bool = True) -> None:
    """Start a watch of a cluster in which these restores are there."""
    await env.watch.record_watch(PROJECT_ID)
    await env.watch.record_clusters(PROJECT_ID, [CLUSTER])
    await read(env, *there, watch_restores=watch_restores)


async def read(env: Stores, *there: RestoreJob, watch_restores: bool = True) -> None:
    await env.watch.record_jobs(PROJECT_ID, CLUSTER, there, watch_restores=watch_restores)


async def claimed(env: Stores) -> JobPost | None:
    found = await env.outbox.claim(env.new_owner(), 8, 1)
    return next((post for post in found if isinstance(post, JobPost)), None)


async def seen(env: Stores) -> list[str]:
    """Return the jobs of all events that a restore was seen."""
    return [line.subject async for line in env.record.events(event="restore:seen")]


async def test_two_replicas_and_lost_answers_announce_and_record_a_restore_once(
    env: Stores, lossy: LostAnswers
) -> None:
    await start(env)
    watches = [WatchStore(lossy, env.clock, name) for name in ("replica-1", "replica-2")]
    restore = a_restore()
    for found in (restore, restore.model_copy(update={"finished_at": env.clock()})):
        record = partial(WatchStore.record_jobs, watch_restores=True)
        lossy.loses = True
        with pytest.raises(MaybeRecorded):
            await record(watches[0], PROJECT_ID, CLUSTER, [found])
        await asyncio.gather(*(record(each, PROJECT_ID, CLUSTER, [found]) for each in watches))

    post = await claimed(env)
    assert post is not None
    assert (post.kind, post.job.ref.job_id, post.job.state) == (
        PostKind.RESTORE,
        restore.id,
        JobState.FINISHED,
    )
    assert await claimed(env) is None
    (line,) = [line async for line in env.record.events()]
    assert (line.event, line.subject, line.actor) == ("restore:seen", restore.id, None)
    detail = json.loads(line.detail)
    assert (detail["target_project"], detail["target_cluster"]) == (OTHER, "copy")
    assert await env.record.verify() == []


async def test_only_restores_after_the_first_read_for_them_are_announced(env: Stores) -> None:
    early, during, between, late = (a_restore(finishedAt="2026-11-25T11:00:00Z") for _ in range(4))
    await start(env, early, watch_restores=False)
    await read(env, early, during, watch_restores=True)
    await read(env, early, during, watch_restores=False)
    await read(env, early, during, between, watch_restores=True)
    await read(env, early, during, between, late, watch_restores=True)

    assert await seen(env) == [late.id]


async def test_restore_that_the_first_read_could_not_read_is_not_announced(env: Stores) -> None:
    restore, late = a_restore(), a_restore()
    watch = partial(env.watch.record_jobs, PROJECT_ID, CLUSTER, watch_restores=True)
    await env.watch.record_watch(PROJECT_ID)
    await env.watch.record_clusters(PROJECT_ID, [CLUSTER])
    await watch([], [restore.id])
    await watch([late, restore])

    assert await seen(env) == [late.id]


async def test_each_restore_of_a_cluster_that_is_created_later_is_announced(env: Stores) -> None:
    await start(env)
    await env.watch.record_clusters(PROJECT_ID, [CLUSTER, "new-eu"])
    restore = a_restore()
    await env.watch.record_jobs(PROJECT_ID, "new-eu", [restore], watch_restores=True)

    assert await seen(env) == [restore.id]


async def test_announcement_shows_a_starter_who_becomes_known_and_the_end(env: Stores) -> None:
    await start(env)
    restore = a_restore()
    await read(env, restore)
    first = await claimed(env)
    assert first is not None
    await env.outbox.mark_sent(first, "C0WATCH", "1.1")
    env.clock.advance(FEED_DELAY.total_seconds() + 10)
    followed = [known.job.ref.job_id for known in await env.jobs.followed()]
    await env.jobs.record(job_ref(restore.id), None, DANA)
    edit = await claimed(env)
    assert edit is not None
    await env.outbox.mark_sent(edit, "C0WATCH", "1.1")
    await read(env, restore.model_copy(update={"failed": True}))
    last = await claimed(env)

    assert followed == [restore.id]
    assert (edit.is_edit, edit.job.started_by) == (True, DANA)
    assert last is not None
    assert (last.is_edit, last.job.state) == (True, JobState.FAILED)
    assert await seen(env) == [restore.id]


async def test_restore_is_no_download_in_counts_questions_and_rows_of_the_edition_before(
    env: Stores,
) -> None:
    await start(env)
    restore = a_restore()
    await read(env, restore)

    def counts(db: Any) -> Any:
        versions = db.execute(select(jobs.c.version)).scalars().all()
        (figures,) = read_summary(db, None).projects
        return versions, figures

    versions, figures = await env.database.read(counts)
    assert versions == [0]  # version 1.0 takes rows with a version for downloads
    assert (figures["project"], figures["downloads"]) == (PROJECT_ID, 0)
    assert figures["restores_into_other_projects"] == 1
    assert await NoticeStore(env.database, env.clock).unasked() == []
