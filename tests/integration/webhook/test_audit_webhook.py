"""Every event arrives, in order within its request, after each fault of the receiver."""

import asyncio
import itertools
from dataclasses import asdict
from typing import Any

import pytest
from sqlalchemy import insert

from bot.cancellation.events import Event, EventName, chain, readable_fields
from bot.storage.audit_log import AuditLog
from bot.storage.tables import audit_events
from tests.integration.webhook.conftest import WebhookEnv
from tests.support.polling import wait_until
from tests.support.receiver import CLOSE, HANG, SECRET, Receiver


async def test_event_is_a_cloud_event_with_the_audit_line_as_data(env: WebhookEnv) -> None:
    async with env.worker():
        request = await env.request()
        await env.receiver.until_taken(2)
    created = env.receiver.taken[0]
    lines = [readable_fields(event)[0] async for event in AuditLog(env.database).events()]

    assert created["specversion"] == "1.0"
    assert created["type"] == "cancel-restore.request.created"
    assert created["source"] == "cancel-restore"
    assert created["subject"] == request.id
    assert [event["data"] for event in env.receiver.taken] == lines


async def test_event_without_a_request_has_no_subject(env: WebhookEnv) -> None:
    event = Event(
        number=1, name=EventName.CHECK_FAILED, request="", at="2026-11-26T12:00:00.000+00:00"
    )
    async with env.worker():
        await insert_event(env, event)
        await env.receiver.until_taken(1)

    assert "subject" not in env.receiver.taken[0]


@pytest.mark.parametrize("fault", [302, 400, 500, CLOSE, HANG])
async def test_event_that_was_not_accepted_is_sent_again_with_the_same_id(
    env: WebhookEnv, fault: int | str
) -> None:
    faults = itertools.chain([fault, fault], itertools.repeat(None))
    env.receiver.fault_of = lambda _event: next(faults)
    if fault == HANG:
        env.try_timeout = 0.3
    async with env.worker():
        request = await env.request()
        await env.events(request, 3)
        await env.receiver.until_taken(5)

    assert env.receiver.numbers(request.id) == [1, 2, 3, 4, 5]
    assert len({event["id"] for event in env.receiver.tries[:3]}) == 1


async def test_events_wait_during_an_outage_and_lag_shows_it(env: WebhookEnv) -> None:
    env.receiver = Receiver()
    async with env.receiver.open():
        pass  # from here on it refuses connections
    async with env.worker() as worker:
        requests = [await env.request() for _ in range(20)]
        await asyncio.sleep(0.5)
        lag = worker.lag()
        async with env.receiver.open():
            await env.receiver.until_taken(40)
            await wait_until(lambda: worker.lag() == 0)

        assert lag > 0.3
    assert {tuple(env.receiver.numbers(each.id)) for each in requests} == {(1, 2)}


@pytest.mark.parametrize("fault", [404, HANG])
async def test_event_that_is_never_accepted_delays_its_own_request_only(
    env: WebhookEnv, fault: int | str
) -> None:
    if fault == HANG:
        env.try_timeout = 0.3
    async with env.worker():
        bad = await env.request()
        env.receiver.fault_of = lambda event: fault if event["subject"] == bad.id else None
        await env.events(bad, 1)
        await wait_until(lambda: len(env.receiver.tries) > 3)
        good = [await env.request() for _ in range(10)]
        numbers = env.receiver.numbers
        await wait_until(lambda: all(numbers(each.id) == [1, 2] for each in good))


async def test_restart_sends_what_is_unsent_and_nothing_twice(env: WebhookEnv) -> None:
    async with env.worker("first"):
        request = await env.request()
        await env.receiver.until_taken(2)
    await env.events(request, 2)
    async with env.worker("second"):
        await env.receiver.until_taken(4)
        await asyncio.sleep(0.3)

    assert env.receiver.numbers(request.id) == [1, 2, 3, 4]


async def test_event_that_is_committed_late_is_sent_though_its_id_is_lower(env: WebhookEnv) -> None:
    """PostgreSQL gives ids before the commits, whose order may differ."""
    late, early = (
        Event(
            number=1, name=EventName.CHECK_FAILED, request=name, at="2026-11-26T12:00:00.000+00:00"
        )
        for name in ("late", "early")
    )
    async with env.worker():
        for number, event in ((100, early), (50, late)):
            await insert_event(env, event, id=number)
            await asyncio.sleep(0.3)

    assert [event["subject"] for event in env.receiver.taken] == ["early", "late"]


async def test_events_before_the_first_webhook_are_not_sent(env: WebhookEnv) -> None:
    before = await env.request()
    async with env.worker():
        await env.events(before, 1)
        await env.receiver.until_taken(1)
        await asyncio.sleep(0.2)

    assert env.receiver.numbers(before.id) == [3]


async def test_log_has_one_line_for_an_outage_and_no_secret(
    env: WebhookEnv, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = itertools.chain([500] * 5, itertools.repeat(None))
    env.receiver.fault_of = lambda _event: next(faults)
    async with env.worker():
        await env.request()
        await env.receiver.until_taken(2)
    output = caplog.text + "".join(capsys.readouterr())

    assert output.count("audit event not taken") == 1
    assert "the answer was 500" in output
    assert SECRET not in output


async def insert_event(env: WebhookEnv, event: Event, **columns: Any) -> None:
    row = insert(audit_events).values(**asdict(chain(event, "")), **columns)
    await env.database.write(lambda db: db.execute(row))
