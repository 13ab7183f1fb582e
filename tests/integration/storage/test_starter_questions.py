"""The question to the starter and its answers, with watch, quarantine and runs over a database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bot.atlas import AtlasError, Unavailable
from bot.atlas.errors import NotCancellable
from bot.cancellation.errors import AlreadyAnswered, StarterUncertain
from bot.cancellation.events import EventName
from bot.cancellation.job import StarterAnswer
from bot.cancellation.lifecycle import JobFingerprint, State
from bot.cancellation.people import People
from bot.cancellation.policy import DISOWNED, Mode, Policy
from bot.cancellation.posts import JobPost, PostKind, RequestPost
from bot.cancellation.starter import LISTED_AFTER, StarterStatus
from bot.storage.audit_log import AuditLog
from bot.storage.notice_store import NoticeStore
from bot.storage.watch_store import WatchStore
from tests.integration.storage.quarantine_environment import (
    CLUSTER,
    ENFORCED,
    GRACE,
    TEST,
    QuarantineEnv,
    Replica,
    pass_seconds,
)
from tests.support.domain import ABE, ADA, PROJECT_ID, RINA, a_waiting_request, allow, job_ref

if TYPE_CHECKING:
    from bot.storage.database import Database

MINE, NOT_MINE = StarterAnswer.MINE, StarterAnswer.NOT_MINE
CLAIMED, DISOWNED_EVENT = "download:claimed", "download:disowned"
DANA = "dana@shop.example"

pytestmark = pytest.mark.databases("sqlite")
#: Where replicas act at once, and for the statements that no other test runs on PostgreSQL.
ON_BOTH = pytest.mark.databases("sqlite", "postgresql")


async def asked(
    database: Database, policy: Policy = ENFORCED, replicas: int = 1
) -> tuple[QuarantineEnv, str]:
    """Start a download by Rina's account, and return its id once she was asked."""
    env = QuarantineEnv(database, policy, emails={RINA.id: DANA, ADA.id: "ada@shop.example"})
    env.replicas += [Replica(env, f"other {number}") for number in range(1, replicas)]
    await env.start()
    return env, await ask(env, 1)


async def ask(env: QuarantineEnv, number: int) -> str:
    job_id = env.begin(number)
    env.show_starter(job_id, DANA)
    await env.read_jobs()
    await env.find_starters()
    await pass_seconds(env, 3, step=1)
    return job_id


async def answer(env: QuarantineEnv, job_id: str, given: StarterAnswer = NOT_MINE) -> None:
    await env.replicas[0].service.answer(job_ref(job_id), RINA, given)
    await env.replicas[0].runs()


async def events(env: QuarantineEnv) -> list[tuple[str, str | None]]:
    """Return the events with an answer, with their actors."""
    found = [line async for line in AuditLog(env.database).events()]
    return [(e.event, e.actor) for e in found if e.event in {CLAIMED, DISOWNED_EVENT}]


def alarms(env: QuarantineEnv) -> list[str]:
    """Return which messages raised the alarm: the thread of a card, or of an announcement."""
    replies = [each for each in env.posted if isinstance(each, RequestPost)]
    told = ["card" for each in replies if each.event is EventName.DOWNLOAD_DISOWNED]
    return told + ["announcement" for each in env.posted if each.kind is PostKind.ALARM]


@ON_BOTH
async def test_starter_is_asked_once_with_two_replicas(database: Database) -> None:
    env, job_id = await asked(database, replicas=2)
    await pass_seconds(env, 5, step=1)
    job = (await env.replicas[0].jobs.store.get([job_ref(job_id)]))[job_ref(job_id)]
    assert not await NoticeStore(database, env.clock).ask(replace(job, asked=""), ADA.id)

    questions = [each for each in env.posted if each.kind is PostKind.QUESTION]
    assert [each.recipient for each in questions if not each.is_edit] == [RINA.id]


async def test_starter_about_whom_slack_does_not_answer_holds_up_no_other(
    database: Database,
) -> None:
    env = QuarantineEnv(database, ENFORCED, emails={RINA.id: DANA})
    await env.start()
    first = job_ref(env.begin(1))
    env.show_starter(first.job_id, DANA)
    for number, name in enumerate(("eve@shop.example", "joe@shop.example"), start=2):
        env.clock.advance(10)
        env.show_starter(env.begin(number), name)  # newer, so that it comes first
    await env.read_jobs()
    await env.find_starters()
    await pass_seconds(env, 3, step=1)

    assert (await env.replicas[0].jobs.store.get([first]))[first].asked == RINA.id


async def test_starter_who_becomes_uncertain_while_slack_is_asked_is_not_asked(
    database: Database,
) -> None:
    env = QuarantineEnv(database, ENFORCED)
    await env.start()
    job_id = env.begin(1)
    env.show_starter(job_id, DANA)
    await env.read_jobs()
    await env.find_starters()
    claims = env.replicas[0].questions.store
    (read,) = await claims.unasked()
    env.show_starter(f"{job_id[:-1]}9", "eve@shop.example")  # another event of the same second
    env.clock.advance(20)
    await env.replicas[0].jobs.follow()

    assert not await claims.ask(read, RINA.id)
    (now,) = await claims.unasked()
    assert now.started_by.starter
    assert not now.started_by.starter.certain


async def test_starter_whose_event_an_unread_job_may_have_is_neither_asked_nor_on_record(
    database: Database,
) -> None:
    env = QuarantineEnv(database, ENFORCED, emails={RINA.id: DANA})
    await env.start()
    job_id = env.begin(1)
    env.show_starter(env.begin(2, TEST), DANA)
    env.clock.advance(LISTED_AFTER.total_seconds())
    first = env.replicas[0]
    await first.watch.record_jobs(PROJECT_ID, CLUSTER, env.atlas.jobs[CLUSTER])
    for _ in range(2):  # before the other cluster is read, and after it
        await first.jobs.follow()
        await pass_seconds(env, 3, step=1)
        job = (await first.jobs.store.get([job_ref(job_id)]))[job_ref(job_id)]
        assert (job.started_by.knowledge, job.asked) == (StarterStatus.KNOWN, "")
        await env.read_jobs()

    on_record = [line.event async for line in AuditLog(database).events()]
    assert "download:starter_known" not in on_record


async def test_question_is_over_once_another_person_may_have_started_the_download(
    database: Database,
) -> None:
    env, job_id = await asked(database)
    env.show_starter(f"{job_id[:-1]}9", "eve@shop.example")
    env.clock.advance(20)
    await env.replicas[0].jobs.follow()

    with pytest.raises(StarterUncertain):
        await answer(env, job_id)
    await env.second()
    edits = [each for each in env.posted if each.kind is PostKind.QUESTION and each.is_edit]
    assert edits
    assert (env.deletes(job_id), await events(env)) == ([], [])


async def test_disowned_download_in_quarantine_is_cancelled_at_once_and_not_counted(
    database: Database,
) -> None:
    env, job_id = await asked(database, replace(ENFORCED, quarantine_limit=1))
    await answer(env, job_id)
    await env.second()
    request = await env.request(job_id)

    assert (request.state, len(env.deletes(job_id))) == (State.CANCELLED, 1)
    assert await events(env) == [(DISOWNED_EVENT, RINA.id)]
    assert alarms(env) == ["card"]
    approved = [line async for line in AuditLog(env.database).events()]
    (entered,) = [line for line in approved if line.event == "request:approved"]
    assert (entered.actor, DISOWNED in entered.detail) == (None, True)
    assert await AuditLog(database).verify() == []
    # The limit of one is still free.
    second = env.begin(2)
    await env.read_jobs()
    await pass_seconds(env, GRACE + 10)
    assert len(env.deletes(second)) == 1


@pytest.mark.parametrize(
    ("refusal", "state"),
    [
        (NotCancellable(status=400), State.REFUSED),
        (Unavailable(status=503, retry_after=60.0), State.QUARANTINED),
    ],
)
async def test_question_shows_that_a_disowned_download_is_not_cancelled(
    database: Database, refusal: AtlasError, state: State
) -> None:
    env, job_id = await asked(database)
    env.atlas.refusal = refusal
    await answer(env, job_id)
    env.posted.clear()
    await env.second()

    edited = [each for each in env.posted if each.kind is PostKind.QUESTION and each.is_edit]
    shown = [each for each in edited if isinstance(each, JobPost)]
    states = [each.job.request and each.job.request.state for each in shown]
    assert states == [state]


async def test_claimed_download_in_quarantine_waits_for_the_end_of_its_grace_time(
    database: Database,
) -> None:
    env, job_id = await asked(database)
    await answer(env, job_id, MINE)
    await env.second()

    assert (await env.state(job_id), env.deletes(job_id)) == (State.QUARANTINED, [])
    assert (await events(env), alarms(env)) == ([(CLAIMED, RINA.id)], [])
    await pass_seconds(env, GRACE + 5)
    assert len(env.deletes(job_id)) == 1


@pytest.mark.parametrize(
    ("policy", "place"),
    [
        (Policy(), "announcement"),
        (replace(ENFORCED, quarantine_limit=0), "announcement"),
        (replace(ENFORCED, quarantine=Mode.OBSERVE, quarantine_grace=timedelta(hours=1)), "card"),
    ],
    ids=["no quarantine", "beyond the limit", "observe"],
)
async def test_disowned_download_is_not_cancelled_without_an_enforced_quarantine(
    database: Database, policy: Policy, place: str
) -> None:
    env, job_id = await asked(database, policy)
    await answer(env, job_id)
    await pass_seconds(env, GRACE + 5)

    assert (env.deletes(job_id), alarms(env)) == ([], [place])


@ON_BOTH
@pytest.mark.parametrize("was_archived", [True, False], ids=["before", "since"])
@pytest.mark.parametrize("policy", [ENFORCED, Policy()])
async def test_approvers_are_told_directly_that_a_download_is_disowned_if_the_channel_is_archived(
    database: Database, policy: Policy, *, was_archived: bool
) -> None:
    approvers = People(users=frozenset({ADA.id, RINA.id}))
    env = QuarantineEnv(database, policy, approvers=approvers, emails={RINA.id: DANA})
    env.channel_is_archived = was_archived
    await env.start()
    job_id = await ask(env, 1)
    env.channel_is_archived = True
    await answer(env, job_id)
    await pass_seconds(env, 2, step=1)

    told = [each.recipient for each in env.posted if each.kind is PostKind.ALARM and each.recipient]
    assert told == [ADA.id]


async def test_keep_stands_when_the_starter_disowns_the_download(database: Database) -> None:
    env, job_id = await asked(database)
    request = await env.request(job_id)
    await env.requests.decide(request.id, State.KEPT, ABE, allow, reason="a drill")
    await answer(env, job_id)
    await env.second()

    assert (await env.state(job_id), env.deletes(job_id)) == (State.KEPT, [])
    assert alarms(env) == ["card"]


@ON_BOTH
async def test_first_of_two_answers_at_once_counts(database: Database) -> None:
    env, job_id = await asked(database, replicas=2)
    ref = job_ref(job_id)
    clicks = [
        replica.service.answer(ref, RINA, given)
        for replica, given in zip(env.replicas, (MINE, NOT_MINE), strict=True)
    ]
    results = await asyncio.gather(*clicks, return_exceptions=True)

    assert [type(each) for each in results if each] == [AlreadyAnswered]
    assert len(await events(env)) == 1


async def test_each_replica_that_leads_later_reports_how_many_downloads_are_disowned(
    database: Database,
) -> None:
    env, job_id = await asked(database)
    counts: list[int] = []
    first, second = (
        WatchStore(
            database, env.clock, name, on_disowned=lambda _project, count: counts.append(count)
        )
        for name in ("one", "two")
    )
    await first.record_watch(PROJECT_ID)
    await answer(env, job_id)
    await first.record_watch(PROJECT_ID)
    await second.record_watch(PROJECT_ID)

    assert counts == [0, 1, 1]


async def test_request_of_a_person_goes_its_way_when_the_starter_disowns_the_download(
    database: Database,
) -> None:
    env, job_id = await asked(database, Policy())
    ref, shown = job_ref(job_id), JobFingerprint.of(env.job(job_id))
    await env.requests.create(a_waiting_request(ref=ref, shown=shown), RINA)
    await env.second()
    posted = len(env.posted)
    await answer(env, job_id)
    await env.second()

    assert (await env.state(job_id), env.deletes(job_id)) == (State.AWAITING, [])
    edited = [each for each in env.posted[posted:] if each.kind is PostKind.CARD and each.is_edit]
    assert [each.job.answer for each in edited if isinstance(each, RequestPost)] == [NOT_MINE]
