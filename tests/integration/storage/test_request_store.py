"""The transactions of decisions: what is stored, recorded and wanted in Slack with each of them."""

import asyncio
from dataclasses import replace

import pytest

from bot.cancellation.decisions import LetRunResult, SubmitResult
from bot.cancellation.errors import Conflict, NothingChanged, NotRecorded
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import State
from bot.storage.database import Database
from bot.storage.tables import request_to_row, requests, watches
from tests.integration.storage.record import Record
from tests.support.core import CoreEnvironment
from tests.support.domain import (
    ADA,
    ALAN,
    AUTO_CANCEL,
    GIL,
    POLICY,
    PROJECT,
    REF,
    START,
)


@pytest.fixture
async def record(database: Database) -> Record:
    env = CoreEnvironment(database, AUTO_CANCEL)
    assert await env.lease.take()
    return Record(env)


async def test_submit_stores_request_event_message_and_reply_together(record: Record) -> None:
    submitted = await record.submitted()

    assert submitted.result is SubmitResult.CREATED
    assert submitted.request.state is State.AWAITING
    assert await record.env.events() == ["request:created"]
    assert await record.replies() == [(ReplyKind.WAITS, "U0RINA", {})]
    (delivery,) = await record.env.outbox.due(10)
    assert (delivery.download.channel, delivery.needs_message) == ("C0OPS", True)


async def test_two_submits_at_once_make_one_request_and_one_joins(record: Record) -> None:
    found = await asyncio.gather(record.submitted(key="V1"), record.submitted(key="V2", who=GIL))

    assert {item.result for item in found} == {SubmitResult.CREATED, SubmitResult.JOINED}
    assert found[0].request.id == found[1].request.id


async def test_database_refuses_a_second_open_request_about_a_download(
    record: Record, database: Database
) -> None:
    first = await record.submit()
    second = requests.insert().values(request_to_row(replace(first, id="f" * 32, key="V2")))

    with pytest.raises(Conflict):
        await database.write(lambda db: db.execute(second).close())
    await record.let_run(ADA, first)
    await database.write(lambda db: db.execute(second).close())

    assert (await record.env.requests.get("f" * 32)).state is State.AWAITING


async def test_database_refuses_a_second_start_of_a_watch(
    record: Record, database: Database
) -> None:
    await record.env.downloads.start_watch(PROJECT, START)
    second = watches.insert().values(project_id=PROJECT, started_at=START)

    with pytest.raises(Conflict):
        await database.write(lambda db: db.execute(second).close())


async def test_time_without_a_zone_is_not_stored(record: Record) -> None:
    request = await record.submit()

    with pytest.raises(NotRecorded):
        await record.env.downloads.start_watch(PROJECT, request.created_at.replace(tzinfo=None))


async def test_two_approvals_at_once_each_count_once(record: Record) -> None:
    policy = replace(POLICY, approvals=2)
    request = (await record.submitted(policy)).request

    await asyncio.gather(
        *(record.env.requests.approve(request.id, person, policy) for person in (ADA, ALAN))
    )

    stored = await record.env.requests.get(request.id)
    assert (stored.state, stored.approved_by) == (State.APPROVED, {"U0ADA", "U0ALAN"})  # type: ignore[comparison-overlap]
    names = ["request:created", "request:approval_given", "request:approved"]
    assert await record.env.events() == names


async def test_let_run_of_an_approver_ends_request_and_time_together(record: Record) -> None:
    await record.env.list_new()
    request = (await record.submitted(AUTO_CANCEL)).request

    decision = await record.env.requests.let_run(
        REF, request.id, ADA, AUTO_CANCEL, reason="restore test", feed_is_readable=True
    )

    download = await record.env.downloads.get(PROJECT, REF.job_id)
    assert download is not None
    assert decision.result is LetRunResult.DENIED
    assert (download.auto_cancel(AUTO_CANCEL), download.let_run and download.let_run.by) == (
        None,
        "U0ADA",
    )
    assert await record.env.events() == ["request:created", "download:let_run", "request:denied"]


async def test_click_about_another_request_than_the_open_one_changes_nothing(
    record: Record,
) -> None:
    request = (await record.submitted()).request

    with pytest.raises(NothingChanged) as caught:
        await record.env.requests.let_run(
            REF, "f" * 32, ADA, POLICY, reason="x", feed_is_readable=True
        )

    assert caught.value.request is not None
    assert caught.value.request.id == request.id
    assert await record.env.events() == ["request:created"]
