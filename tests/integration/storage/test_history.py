"""Past and waiting requests, read from a real database."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import Person
from bot.storage.audit_log import History
from bot.storage.database import Database
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from tests.support.domain import ABE, NOON, PROJECT_ID, RINA, Clock, a_request, a_waiting_request

OTHER = "5b6212af90dc76637950a2c7"


def allowed(_request: Request) -> None:
    return None


@pytest.fixture
def history(database: Database, clock: Clock) -> History:
    return History(database, clock)


async def asked(
    ledger: RequestStore, clock: Clock, person: Person = RINA, **changes: object
) -> Request:
    clock.forward(1)
    made = a_request(created_at=clock(), changed_at=clock(), **changes)
    return await ledger.create(made, person)


async def test_recent_requests_come_newest_first_with_their_outcome(
    history: History, ledger: RequestStore, clock: Clock
) -> None:
    first = await asked(ledger, clock)
    second = await asked(ledger, clock, state=State.AWAITING, approvals_needed=1)
    await ledger.decide(second.id, State.DENIED, ABE, allowed, reason="no")
    past = await history.recent(10, [PROJECT_ID])

    assert [(each.request, each.state, each.by) for each in past] == [
        (second.id, State.DENIED, ABE.id),
        (first.id, State.APPROVED, None),
    ]
    assert past[0].requester == RINA.id
    assert past[0].job_id == second.ref.job_id


async def test_recent_requests_are_limited(
    history: History, ledger: RequestStore, clock: Clock
) -> None:
    made = [await asked(ledger, clock) for _ in range(5)]
    past = await history.recent(3, [PROJECT_ID])

    assert [each.request for each in past] == [each.id for each in reversed(made)][:3]


async def test_requests_of_other_projects_are_excluded(
    history: History, ledger: RequestStore, clock: Clock
) -> None:
    kept = await asked(ledger, clock)
    for _ in range(120):
        made = a_request()
        await ledger.create(replace(made, ref=replace(made.ref, project_id=OTHER)), RINA)
    past = await history.recent(1, [PROJECT_ID])

    assert [each.request for each in past] == [kept.id]


async def test_pruned_request_is_read_from_its_events(
    history: History, ledger: RequestStore, clock: Clock, outbox: OutboxStore
) -> None:
    request = await asked(ledger, clock, state=State.AWAITING, approvals_needed=1)
    await ledger.decide(request.id, State.DENIED, ABE, allowed, reason="no")
    clock.forward(60)
    while posts := await outbox.claim("me", 10):
        for post in posts:
            await outbox.mark_sent(post, "C0OPS", "1.2")
    before = await history.recent(10, [PROJECT_ID])
    pruned = await ledger.prune(clock() + timedelta(days=1))
    (past,) = await history.recent(10, [PROJECT_ID])

    assert pruned == 1
    assert (past.state, past.by, past.card) == (State.DENIED, ABE.id, None)
    assert [replace(each, card=None) for each in before] == [past]


async def test_waiting_requests_come_oldest_first_until_they_expire(
    history: History, ledger: RequestStore, clock: Clock
) -> None:
    await asked(ledger, clock)
    first = await ledger.create(a_waiting_request(created_at=NOON), RINA)
    second = await ledger.create(a_waiting_request(created_at=NOON + timedelta(minutes=1)), RINA)
    listed = [each.id for each in await history.awaiting()]
    clock.forward(3600)

    assert listed == [first.id, second.id]
    assert await history.awaiting() == []
