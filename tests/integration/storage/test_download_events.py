"""The events of downloads: each once, whatever becomes of the commits, and in the chain."""

import asyncio
import json
from dataclasses import replace

import pytest
from sqlalchemy import delete

from bot.atlas import RestoreJob
from bot.cancellation.errors import MaybeRecorded
from bot.cancellation.starter import StartedBy, Starter, StarterKind, StarterStatus
from bot.storage.tables import audit_events
from bot.storage.watch_store import WatchStore
from tests.integration.storage.conftest import LostAnswers, Stores
from tests.support.domain import PROJECT_ID, a_job, a_request, job_ref, new_job_id

CLUSTER = "prod-eu"
LINK = {"deliveryUrl": ["https://x.invalid/y"], "expiresAt": "2026-11-25T14:00:00Z"}
DANA = StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, name="dana"))


async def test_two_replicas_and_lost_answers_record_each_event_once(
    env: Stores, lossy: LostAnswers
) -> None:
    counts: list[int] = []
    watches = [
        WatchStore(lossy, env.clock, name, on_seen=lambda _project, count: counts.append(count))
        for name in ("replica-1", "replica-2")
    ]
    await watches[0].record_watch(PROJECT_ID)
    await watches[0].record_clusters(PROJECT_ID, [CLUSTER])
    await watches[0].record_jobs(PROJECT_ID, CLUSTER, [])
    job_id = new_job_id()
    for changes in ({}, LINK, LINK | {"expired": True}):
        read = a_job(id=job_id, **changes)
        lossy.loses = True
        with pytest.raises(MaybeRecorded):
            await watches[0].record_jobs(PROJECT_ID, CLUSTER, [read])
        await asyncio.gather(
            *(watch.record_jobs(PROJECT_ID, CLUSTER, [read]) for watch in watches),
            env.jobs.record(job_ref(job_id), read, DANA),
        )
        env.clock.advance(60)

    lines = [line async for line in env.record.events()]
    assert [(line.event, line.number) for line in lines] == [
        ("download:seen", 1),
        ("download:starter_known", 2),
        ("download:link_live", 3),
        ("download:ended", 4),
    ]
    assert {(line.subject, line.actor) for line in lines} == {(job_id, None)}
    about = [
        [json.loads(line.detail)[key] for key in ("project", "cluster", "job")] for line in lines
    ]
    assert about == [[PROJECT_ID, CLUSTER, job_id]] * 4
    assert (counts[0], counts[-1]) == (0, 1)
    assert await env.record.verify() == []


async def test_starter_is_on_record_once_and_uncertain_once_when_another_person_may_be_it(
    env: Stores,
) -> None:
    ref = job_ref((await seen(env)).id)
    known = Starter(kind=StarterKind.USER, name="dana")
    eve = replace(known, name="eve", certain=False, others=("dana",))
    other_job = replace(known, certain=False)  # it may have the event
    # A replica that read the feed earlier is late, and must not bring the first one back.
    for starter in (known, eve, known, other_job, eve):
        await env.jobs.record(ref, None, StartedBy(StarterStatus.KNOWN, starter))

    names = ("download:starter_known", "download:starter_uncertain")
    lines = [line async for line in env.record.events() if line.event in names]
    details = [json.loads(line.detail) for line in lines]
    assert tuple(line.event for line in lines) == names
    assert [each.get("by") for each in details] == ["dana", None]
    assert details[0]["kind"] == "user"
    assert (await env.jobs.get([ref]))[ref].started_by.starter == eve


async def test_removed_event_of_a_download_is_reported(env: Stores) -> None:
    job = await seen(env)
    await seen(env, a_job(id=job.id, expired=True))
    await env.database.write(
        lambda db: db.execute(delete(audit_events).where(audit_events.c.number == 2))
    )

    assert [str(found) for found in await env.record.verify()] == [
        f"event 2 of job {job.id} is missing"
    ]


@pytest.mark.parametrize(("was_sent", "how"), [(True, "cancelled"), (False, "failed")])
async def test_job_that_reads_cancelled_and_failed_was_cancelled_if_the_bot_sent_a_delete(
    env: Stores,
    was_sent: bool,
    how: str,
) -> None:
    job = await seen(env)
    running = await env.claim_run(await env.posted(a_request(ref=job_ref(job.id))))
    if was_sent:
        await env.leases.record_delete_sent(running)
    await seen(env, a_job(id=job.id, cancelled=True, failed=True))

    (ended,) = [line async for line in env.record.events(event="download:ended")]
    assert json.loads(ended.detail)["how"] == how


async def seen(env: Stores, read: RestoreJob | None = None) -> RestoreJob:
    """Let the watch read one download, a new one if none is given."""
    job = read or a_job(id=new_job_id())
    if read is None:
        await env.watch.record_watch(PROJECT_ID)
        await env.watch.record_clusters(PROJECT_ID, [CLUSTER])
        await env.watch.record_jobs(PROJECT_ID, CLUSTER, [])
    await env.watch.record_jobs(PROJECT_ID, CLUSTER, [job])
    return job
