"""The transactions of decisions: what is stored, recorded and wanted in Slack with each of them."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.cancellation.decisions import LetRunResult, SubmitResult
from bot.cancellation.errors import NothingChanged
from bot.cancellation.people import ActingPerson
from bot.cancellation.policy import Policy
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import State
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.download_store import DownloadStore, Listing
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore, Submitted
from tests.support.domain import (
    ADA,
    ALAN,
    AUTO_CANCEL,
    GIL,
    POLICY,
    PROJECT,
    REF,
    RINA,
    START,
    restore_job,
    submission,
)


@dataclass
class Stores:
    database: Database
    now: datetime = START
    requests: RequestStore = field(init=False)

    def __post_init__(self) -> None:
        over = (self.database, lambda: self.now, None)
        self.requests, self.downloads = RequestStore(*over), DownloadStore(*over)
        self.outbox, self.log = OutboxStore(*over), AuditLog(*over)

    async def events(self) -> list[str]:
        return [line["event"] for _, line in await self.log.page(0, None, None)]

    async def replies(self) -> list[tuple[ReplyKind, bool]]:
        deliveries = await self.outbox.due(10)
        return [(reply.kind, reply.is_broadcast) for item in deliveries for reply in item.replies]

    async def list_new(self) -> None:
        """Let the watch list the download as a new one."""
        self.now = START - timedelta(minutes=1)
        await self.downloads.start_watch(PROJECT)
        self.now = START
        listing = Listing(
            project_id=PROJECT, cluster="prod-eu", jobs=[restore_job()], read_at=START
        )
        await self.downloads.record_listing(listing, AUTO_CANCEL)

    async def ask(
        self, policy: Policy = POLICY, person: ActingPerson = RINA, **changes: Any
    ) -> Submitted:
        return await self.requests.submit(person, policy, submission(**changes))


@pytest.fixture
def stores(database: Database) -> Stores:
    return Stores(database)


async def test_submit_stores_request_event_message_and_reply_together(stores: Stores) -> None:
    submitted = await stores.ask()

    assert submitted.result is SubmitResult.CREATED
    assert submitted.request.state is State.AWAITING
    assert await stores.events() == ["request:created"]
    assert await stores.replies() == [(ReplyKind.WAITS, True)]
    (delivery,) = await stores.outbox.due(10)
    assert (delivery.download.channel, delivery.needs_message) == ("C0OPS", True)


async def test_same_view_twice_is_one_request(stores: Stores) -> None:
    first, second = await stores.ask(), await stores.ask()

    assert first.request.id == second.request.id
    assert await stores.events() == ["request:created"]


async def test_two_submits_at_once_make_one_request_and_one_joins(stores: Stores) -> None:
    found = await asyncio.gather(stores.ask(key="V1"), stores.ask(key="V2", person=GIL))

    assert {item.result for item in found} == {SubmitResult.CREATED, SubmitResult.JOINED}
    assert found[0].request.id == found[1].request.id


async def test_submit_of_an_approver_approves_what_waits(stores: Stores) -> None:
    await stores.ask()

    submitted = await stores.ask(key="V2", person=ADA)

    assert (submitted.result, submitted.request.state) == (SubmitResult.APPROVED, State.APPROVED)
    assert await stores.events() == ["request:created", "request:approved"]


async def test_acting_alone_turns_the_waiting_request_into_an_approved_one(stores: Stores) -> None:
    first = await stores.ask()

    second = await stores.ask(key="V2", person=GIL, alone=True)

    assert second.request.id == first.request.id
    assert (second.request.state, second.request.alone) == (State.APPROVED, "U0GIL")
    names = ["request:created", "request:acted_alone", "request:approved"]
    assert await stores.events() == names


async def test_two_approvals_at_once_each_count_once(stores: Stores) -> None:
    policy = replace(POLICY, approvals=2)
    request = (await stores.ask(policy)).request

    await asyncio.gather(
        *(stores.requests.approve(request.id, person, policy) for person in (ADA, ALAN))
    )

    stored = await stores.requests.get(request.id)
    assert (stored.state, stored.approved_by) == (State.APPROVED, {"U0ADA", "U0ALAN"})  # type: ignore[comparison-overlap]
    names = ["request:created", "request:approval_given", "request:approved"]
    assert await stores.events() == names


async def test_let_run_of_an_approver_ends_request_and_time_together(stores: Stores) -> None:
    await stores.list_new()
    request = (await stores.ask(AUTO_CANCEL)).request

    decision = await stores.requests.let_run(
        REF, request.id, ADA, AUTO_CANCEL, reason="restore test", feed_is_readable=True
    )

    download = await stores.downloads.get(PROJECT, REF.job_id)
    assert download is not None
    assert decision.result is LetRunResult.DENIED
    assert (download.auto_cancel(AUTO_CANCEL), download.let_run and download.let_run.by) == (
        None,
        "U0ADA",
    )
    assert await stores.events() == ["request:created", "download:let_run", "request:denied"]


async def test_click_about_another_request_than_the_open_one_changes_nothing(
    stores: Stores,
) -> None:
    request = (await stores.ask()).request

    with pytest.raises(NothingChanged) as caught:
        await stores.requests.let_run(REF, "f" * 32, ADA, POLICY, reason="x", feed_is_readable=True)

    assert caught.value.request is not None
    assert caught.value.request.id == request.id
    assert await stores.events() == ["request:created"]


async def test_withdrawn_or_expired_request_changes_nothing_about_the_time(stores: Stores) -> None:
    await stores.list_new()
    request = (await stores.ask(replace(AUTO_CANCEL, approval_ttl=timedelta(seconds=1)))).request
    stores.now = START + timedelta(seconds=89)
    await stores.requests.expire(request.id, AUTO_CANCEL)
    await stores.requests.auto_cancel(REF, AUTO_CANCEL, feed_is_fresh=False)
    assert (await stores.events())[-1] == "request:expired"

    stores.now = START + timedelta(seconds=90)
    for _ in range(2):
        await stores.requests.auto_cancel(REF, AUTO_CANCEL, feed_is_fresh=False)

    (request, _) = await stores.requests.of_download(PROJECT, REF.job_id)
    assert (request.state, request.requester, request.is_automatic) == (State.APPROVED, None, True)
    assert (await stores.events())[-2:] == ["request:created", "request:approved"]


async def test_auto_cancel_approves_the_open_request(stores: Stores) -> None:
    await stores.list_new()
    request = (await stores.ask(AUTO_CANCEL)).request
    stores.now = START + timedelta(seconds=91)

    await stores.requests.auto_cancel(REF, AUTO_CANCEL, feed_is_fresh=False)

    stored = await stores.requests.get(request.id)
    assert (stored.state, stored.requester, stored.is_automatic) == (State.APPROVED, "U0RINA", True)


async def test_request_expires_and_is_reminded_once_at_its_times(stores: Stores) -> None:
    request = (await stores.ask()).request
    assert not (await stores.requests.due()).to_remind

    stores.now = START + timedelta(seconds=60)
    assert [item.id for item in (await stores.requests.due()).to_remind] == [request.id]
    for _ in range(2):
        await stores.requests.remind(request.id, POLICY)
    stores.now = START + timedelta(minutes=30)
    assert [item.id for item in (await stores.requests.due()).expiring] == [request.id]
    await stores.requests.expire(request.id, POLICY)

    names = ["request:created", "request:reminded", "request:expired"]
    assert await stores.events() == names


async def test_request_ends_with_its_download(stores: Stores) -> None:
    request = (await stores.ask()).request
    later = START + timedelta(seconds=5)
    await stores.downloads.record_job(REF, restore_job(cancelled=True), later, POLICY)

    assert [item.id for item in (await stores.requests.due()).ended] == [request.id]
    await stores.requests.end_with_download(request.id, POLICY)

    assert (await stores.requests.get(request.id)).state is State.OVER


async def test_request_of_a_project_that_is_read_only_now_ends_as_withdrawn(stores: Stores) -> None:
    request = (await stores.ask()).request

    await stores.requests.end_read_only(request.id, replace(POLICY, read_only=True))

    stored = await stores.requests.get(request.id)
    assert (stored.state, stored.outcome.is_read_only) == (State.WITHDRAWN, True)
