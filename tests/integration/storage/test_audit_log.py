"""Events form a chain: a changed or removed event is reported, on both databases."""

import pytest
from sqlalchemy import Connection, Delete, Update, delete, update
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.lifecycle import Outcome, Request, State
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.lease_store import LeaseStore
from bot.storage.request_store import RequestStore
from bot.storage.tables import audit_events, posts
from tests.support.domain import ADA, RINA, Clock, a_request, a_waiting_request


async def tamper(database: Database, statement: Update | Delete) -> None:
    def work(db: Connection) -> None:
        assert db.execute(statement).rowcount == 1

    await database.write(work)


async def ended(ledger: RequestStore, leases: LeaseStore) -> Request:
    """A request with five events: created, approved, cancelling, cancel_sent, cancelled."""
    request = await ledger.create(a_request(), RINA)
    claimed = await leases.claim(request.id)
    assert claimed
    await leases.record_delete_sent(claimed)
    return await leases.settle(claimed, State.CANCELLED, Outcome(sentence="done"))


def event(request: Request, number: int) -> tuple[ColumnElement[bool], ...]:
    return (audit_events.c.request == request.id, audit_events.c.number == number)


async def test_unchanged_events_verify(
    ledger: RequestStore, leases: LeaseStore, record: AuditLog
) -> None:
    await ended(ledger, leases)
    await ledger.create(a_waiting_request(), RINA)

    assert await record.verify() == []


@pytest.mark.parametrize(
    "values",
    [
        {"actor": "U0EVE"},
        {"actor": None},
        {"at": "2026-11-25T00:00:00.000+00:00"},
        {"detail": "{}"},
        {"event": "request:denied"},
        {"team": "T0EVE"},
        {"previous": "0" * 64},
        {"hash": "0" * 64},
    ],
)
async def test_changed_event_is_reported(
    ledger: RequestStore,
    leases: LeaseStore,
    record: AuditLog,
    database: Database,
    values: dict[str, str | None],
) -> None:
    request = await ended(ledger, leases)

    await tamper(database, update(audit_events).where(*event(request, 1)).values(**values))

    assert [str(found) for found in await record.verify()] == [
        f"event 1 of request {request.id} was changed"
    ]


@pytest.mark.parametrize("number", [1, 3, 5])
async def test_removed_event_is_reported(
    ledger: RequestStore, leases: LeaseStore, record: AuditLog, database: Database, number: int
) -> None:
    request = await ended(ledger, leases)

    await tamper(database, delete(audit_events).where(*event(request, number)))

    assert [str(found) for found in await record.verify()] == [
        f"event {number} of request {request.id} is missing"
    ]


async def test_removal_of_all_events_of_a_request_is_reported(
    ledger: RequestStore, record: AuditLog, database: Database
) -> None:
    request = await ledger.create(a_waiting_request(), RINA)

    await tamper(database, delete(audit_events).where(*event(request, 1)))

    assert [found.number for found in await record.verify()] == [1]


async def test_prune_deletes_only_requests_that_ended_long_ago(
    ledger: RequestStore, leases: LeaseStore, database: Database, clock: Clock
) -> None:
    old = await ended(ledger, leases)
    clock.forward(100)
    before = clock.now
    waiting = await ledger.create(a_waiting_request(), RINA)
    await ledger.decide(waiting.id, State.DENIED, ADA, lambda _request: None, reason="no")
    clock.forward(100)

    assert await ledger.prune(before) == 0  # the old one still has something to post

    def deliver(db: Connection) -> None:
        db.execute(update(posts).where(posts.c.request == old.id).values(state="sent"))

    await database.write(deliver)
    assert await ledger.prune(before, limit=1) == 1
    assert (await ledger.get(waiting.id)).state is State.DENIED


async def test_events_are_filtered_by_actor_and_time(
    ledger: RequestStore, record: AuditLog, clock: Clock
) -> None:
    first = await ledger.create(a_waiting_request(), RINA)
    clock.forward(60)
    since = clock.now
    second = await ledger.create(a_waiting_request(), ADA)

    assert [line.request async for line in record.events()] == [first.id, second.id]
    assert [line.request async for line in record.events(since=since)] == [second.id]
    assert [line.request async for line in record.events(actor=RINA.id)] == [first.id]
