"""The transactions of decisions: what is stored, recorded and wanted in Slack with each of them."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.cancellation.decisions import LetRunResult, SubmitResult
from bot.cancellation.errors import NothingChanged
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import State
from bot.storage.database import Database
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
    restore_job,
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


async def test_same_view_twice_is_one_request(record: Record) -> None:
    first, second = await record.submitted(), await record.submitted()

    assert first.request.id == second.request.id
    assert await record.env.events() == ["request:created"]


async def test_two_submits_at_once_make_one_request_and_one_joins(record: Record) -> None:
    found = await asyncio.gather(record.submitted(key="V1"), record.submitted(key="V2", who=GIL))

    assert {item.result for item in found} == {SubmitResult.CREATED, SubmitResult.JOINED}
    assert found[0].request.id == found[1].request.id


async def test_submit_of_an_approver_approves_what_waits(record: Record) -> None:
    await record.submitted()

    submitted = await record.submitted(key="V2", who=ADA)

    assert (submitted.result, submitted.request.state) == (SubmitResult.APPROVED, State.APPROVED)
    assert await record.env.events() == ["request:created", "request:approved"]


async def test_acting_alone_turns_the_waiting_request_into_an_approved_one(record: Record) -> None:
    first = await record.submitted()

    second = await record.submitted(key="V2", who=GIL, alone=True)

    assert second.request.id == first.request.id
    assert (second.request.state, second.request.alone) == (State.APPROVED, "U0GIL")
    names = ["request:created", "request:acted_alone", "request:approved"]
    assert await record.env.events() == names


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


async def test_withdrawn_or_expired_request_changes_nothing_about_the_time(record: Record) -> None:
    await record.env.list_new()
    request = (
        await record.submitted(replace(AUTO_CANCEL, approval_ttl=timedelta(seconds=1)))
    ).request
    record.wait(89)
    await record.env.requests.expire(request.id, AUTO_CANCEL)
    await record.env.requests.auto_cancel(REF, AUTO_CANCEL, feed_is_fresh=False)
    assert (await record.env.events())[-1] == "request:expired"

    record.wait(1)
    for _ in range(2):
        await record.env.requests.auto_cancel(REF, AUTO_CANCEL, feed_is_fresh=False)

    (request, _) = await record.env.requests.of_download(PROJECT, REF.job_id)
    assert (request.state, request.requester, request.is_automatic) == (State.APPROVED, None, True)
    assert (await record.env.events())[-2:] == ["request:created", "request:approved"]


async def test_auto_cancel_approves_the_open_request(record: Record) -> None:
    await record.env.list_new()
    request = (await record.submitted(AUTO_CANCEL)).request
    record.wait(91)

    await record.env.requests.auto_cancel(REF, AUTO_CANCEL, feed_is_fresh=False)

    stored = await record.env.requests.get(request.id)
    assert (stored.state, stored.requester, stored.is_automatic) == (State.APPROVED, "U0RINA", True)


async def test_request_expires_and_is_reminded_once_at_its_times(record: Record) -> None:
    request = (await record.submitted()).request
    assert not (await record.env.requests.due()).to_remind

    record.wait(60)
    assert [item.id for item in (await record.env.requests.due()).to_remind] == [request.id]
    for _ in range(2):
        await record.env.requests.remind(request.id, POLICY)
    record.wait(1740)
    assert [item.id for item in (await record.env.requests.due()).expiring] == [request.id]
    await record.env.requests.expire(request.id, POLICY)

    names = ["request:created", "request:reminded", "request:expired"]
    assert await record.env.events() == names


async def test_request_ends_with_its_download(record: Record) -> None:
    request = (await record.submitted()).request
    later = START + timedelta(seconds=5)
    await record.env.downloads.record_job(REF, restore_job(cancelled=True), later, POLICY)

    assert [item.id for item in (await record.env.requests.due()).ended] == [request.id]
    await record.env.requests.end_with_download(request.id, POLICY)

    assert (await record.env.requests.get(request.id)).state is State.OVER


async def test_request_of_a_project_that_is_read_only_now_ends_as_withdrawn(record: Record) -> None:
    request = (await record.submitted()).request

    await record.env.requests.end_read_only(request.id, replace(POLICY, read_only=True))

    stored = await record.env.requests.get(request.id)
    assert (stored.state, stored.outcome.is_read_only) == (State.WITHDRAWN, True)
