"""Events form a chain: a changed or removed event is reported, on both databases."""

import pytest
from sqlalchemy import Connection, Delete, Update, update
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.lifecycle import Outcome, Request, State
from bot.storage.tables import audit_events
from tests.integration.storage.conftest import Stores
from tests.support.domain import ADA, RINA, a_request, a_waiting_request


async def tamper(env: Stores, statement: Update | Delete) -> None:
    def work(db: Connection) -> None:
        assert db.execute(statement).rowcount == 1

    await env.database.write(work)


async def ended(env: Stores) -> Request:
    """A request with five events: created, approved, cancelling, cancel_sent, cancelled."""
    request = await env.store.create(a_request(), RINA)
    claimed = await env.claim_run(request)
    await env.leases.record_delete_sent(claimed)
    return await env.leases.settle(claimed, State.CANCELLED, Outcome(sentence="done"))


def event(request: Request, number: int) -> tuple[ColumnElement[bool], ...]:
    return (audit_events.c.request == request.id, audit_events.c.number == number)


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
async def test_changed_event_is_reported(env: Stores, values: dict[str, str | None]) -> None:
    request = await ended(env)

    await tamper(env, update(audit_events).where(*event(request, 1)).values(**values))

    assert [str(found) for found in await env.record.verify()] == [
        f"event 1 of request {request.id} was changed"
    ]


async def test_events_are_filtered_by_actor_and_time(env: Stores) -> None:
    first = await env.store.create(a_waiting_request(), RINA)
    env.clock.advance(60)
    since = env.clock.now
    second = await env.store.create(a_waiting_request(), ADA)

    assert [line.request async for line in env.record.events()] == [first.id, second.id]
    assert [line.request async for line in env.record.events(since=since)] == [second.id]
    assert [line.request async for line in env.record.events(actor=RINA.id)] == [first.id]
