"""`verify` finds what an account with write access changes without computing a hash."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, Table, delete, text

from bot.cancellation.events import EventName
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.posts import RequestPost
from bot.storage.database import Database
from bot.storage.request_store import RequestStore
from bot.storage.tables import chain_head, metadata, requests
from bot.storage.unit_of_work import UnitOfWork
from tests.integration.storage.conftest import Stores
from tests.support.domain import ABE, ADA, RINA, a_request, a_waiting_request, allow, keep_all
from tests.support.timings import DATABASE_TIMEOUT


def void_all(request: Request) -> Judgement:
    return replace(keep_all(request), voided=request.approved_by, approvals_needed=3)


async def run_and_fail(env: Stores, request_id: str) -> None:
    """Leave the request with a DELETE whose answer is known."""
    claimed = await env.leases.claim(request_id)
    assert claimed
    sending = await env.leases.record_delete_sent(claimed)
    sent = replace(sending.sent, accepted=True, unknown=False)
    noted = await env.leases.record_delete_answer(
        sending, sent, {"status": 204, "code": None}, env.clock()
    )
    await env.leases.settle(noted, State.FAILED, Outcome(sentence="still there", status=204))


async def prune_as_earlier_versions_did(env: Stores, request_id: str) -> None:
    """Replace the row of a request by an event, as versions before 1.1 did after 90 days."""

    def prune(uow: UnitOfWork) -> None:
        uow.record(uow.lock(request_id), EventName.PRUNED)
        uow.execute(delete(requests).where(requests.c.id == request_id))

    await env.store._write(prune)


async def write_history(env: Stores) -> None:
    """Four requests: `pruned`, `moved`, `voided` waits, and `last` waits.

    `moved` is: 1 created, 2 approved, 3 card_moved, 4 cancelling, 5 cancel_sent, 6 cancel_answered,
    7 failed, 8 retried, 9 approved, 10 cancelling, 11 cancel_sent, 12 cancel_answered, 13 failed.
    `voided` is: 1 created, 2 approval_given, 3 approval_voided, 4 approvals_raised,
    5 approval_given.
    """
    await env.store.create(a_waiting_request(id="pruned"), RINA)
    await env.store.decide("pruned", State.DENIED, ADA, allow, reason="no")
    for post in await env.outbox.claim("me", 10):
        await env.outbox.mark_sent(post, "C0OPS", f"{post.id}.0")
    for post in await env.outbox.claim("me", 10):
        await env.outbox.mark_sent(post, "C0OPS", f"{post.id}.0")
    env.clock.advance(0.0127)
    await env.store.create(a_request(id="moved"), RINA)
    (post,) = await env.outbox.claim("me", 10)
    assert isinstance(post, RequestPost)
    await env.outbox.move_card(post, "D0RINA", "not a member")
    await run_and_fail(env, "moved")
    await env.store.retry(
        "moved",
        RINA,
        allow,
        needed_for=lambda _request: 0,
        ttl=a_request().expires_at - env.clock.now,
    )
    await run_and_fail(env, "moved")
    await env.store.create(a_waiting_request(approvals=2, id="voided"), RINA)
    await env.store.approve("voided", ADA, allow, keep_all)
    env.clock.advance(1.2345)
    await env.store.approve("voided", ABE, allow, void_all)
    await prune_as_earlier_versions_did(env, "pruned")
    await env.store.create(a_waiting_request(id="last"), RINA)


#: The rows of the history by the kind of the database: it is written once, and then copied.
ROWS: dict[str, dict[Table, list[dict[str, Any]]]] = {}


@pytest.fixture
async def history(env: Stores) -> None:
    def read(db: Connection) -> dict[Table, list[dict[str, Any]]]:
        rows = {table: db.execute(table.select()).mappings() for table in metadata.sorted_tables}
        return {table: [dict(row) for row in rows[table]] for table in rows}

    def copy(db: Connection) -> None:
        db.execute(chain_head.delete())
        for table, rows in ROWS[kind].items():
            if rows:
                db.execute(table.insert(), rows)

    kind = "sqlite" if env.database.is_sqlite else "postgresql"
    if kind in ROWS:
        await env.database.write(copy)
    else:
        await write_history(env)
        ROWS[kind] = await env.database.read(read)


async def attack(env: Stores, statements: str) -> Sequence[str]:
    def work(db: Connection) -> None:
        for statement in statements.split(";"):
            assert db.execute(text(statement)).rowcount

    await env.database.write(work)
    return [str(each) for each in await env.record.verify()]


@pytest.mark.usefixtures("history")
async def test_history_of_every_kind_verifies(env: Stores) -> None:
    assert await env.record.verify() == []


LAST = "DELETE FROM audit_events WHERE request = 'last'"
CUT = "DELETE FROM audit_events WHERE request = 'moved' AND number > {}"
NO_ROW = "DELETE FROM requests WHERE id = 'moved'"
ROLLED_BACK = (
    "UPDATE requests SET state = 'approved', outcome = '{}', event_count = 2, channel = 'C0OPS',"
    " delete_count = 0, delete_accepted = false, delete_unknown = false WHERE id = 'moved'"
)


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("statements", "first"),
    [
        # Tails cut off, with the row removed or made to fit.
        (CUT.format(12), "event 13 of request moved is missing"),
        (f"{CUT.format(3)}; {NO_ROW}", "event 4 of request moved is missing"),
        (f"{CUT.format(7)}; {NO_ROW}", "event 8 of request moved is missing"),
        (f"{CUT.format(2)}; {ROLLED_BACK}", "event 3 of request moved is missing"),
        (NO_ROW, "the row of request moved is missing"),
        # Whole requests, also the first and the last one.
        (f"{CUT.format(0)}; {NO_ROW}", "event 1 of request moved is missing"),
        ("DELETE FROM audit_events WHERE request = 'pruned'", "event 1 of request pruned is miss"),
        (
            f"{LAST}; DELETE FROM requests WHERE id = 'last'",  # noqa: S608 - constants
            "event 1 of request last is missing",
        ),
        ("DELETE FROM audit_events", "event 1 of request last is missing"),
        (
            "DELETE FROM audit_events WHERE request = 'pruned' AND number = 3",
            "event 3 of request pruned is missing",
        ),
        # The order.
        ("UPDATE audit_events SET id = -id", "is not in its place"),
        ("UPDATE audit_events SET id = -1 WHERE request = 'last'", "is not in its place"),
        (
            "UPDATE audit_events SET id = 1000 WHERE request = 'voided' AND number = 1",
            "event 1 of request voided is not in its place",
        ),
        # The end of the chain.
        ("UPDATE chain_head SET reference = ''", "the stored end of the chain was changed"),
        ("DELETE FROM chain_head", "the stored end of the chain was changed"),
    ],
)
async def test_attack_is_found_at_its_first_break(env: Stores, statements: str, first: str) -> None:
    found = await attack(env, statements)

    assert first in found[0]


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor", "'U0EVE'"),
        ("actor", "NULL"),
        ("at", "'2026-11-25T00:00:00.000+00:00'"),
        ("detail", "'{}'"),
        ("event", "'request:denied'"),
        ("team", "'T0EVE'"),
        ("previous", "'0000'"),
        ("hash", "'0000'"),
    ],
)
async def test_changed_event_is_reported(env: Stores, column: str, value: str) -> None:
    event = f"UPDATE audit_events SET {column} = {value} WHERE request = 'moved' AND number = 1"  # noqa: S608 - constants

    assert await attack(env, event) == ["event 1 of request moved was changed"]


ROW_CHANGES = {
    "state": "'approved'",
    "project_id": "'ffffffffffffffffffffffff'",
    "cluster_name": "'prod-us'",
    "job_id": "'ffffffffffffffffffffffff'",
    "requester": "'U0EVE'",
    "team": "'T0EVE'",
    "reason": "'another'",
    "shown": "'{}'",
    "approvals_needed": "1",
    "expires_at": "expires_at + 1000",
    "channel": "'C0EVE'",
    "asked_in": "'C0EVE'",
    "delete_count": "1",
    "delete_accepted": "true",
    "delete_unknown": "true",
    "outcome": """'{"sentence": "done"}'""",
    "event_count": "4",
    "acted_alone": "true",
    "reviewed_by": "'U0EVE'",
    "reviewed_at": "0",
}
#: What no event has: keys, leases, plans of the bot itself, and places of messages.
NOT_COMPARED = {
    *("id", "key", "project_name", "created_at", "changed_at", "lease_owner", "lease_until"),
    *("card_channel", "card_ts", "moved_because", "next_notice_at", "grace_ends_at", "seen_at"),
}


def test_every_column_is_compared_or_listed_as_not_compared() -> None:
    assert {each.name for each in requests.c} == ROW_CHANGES.keys() | NOT_COMPARED
    assert not ROW_CHANGES.keys() & NOT_COMPARED


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("column", ROW_CHANGES)
async def test_edited_row_disagrees_with_its_events(env: Stores, column: str) -> None:
    change = f"UPDATE requests SET {column} = {ROW_CHANGES[column]} WHERE id = 'voided'"  # noqa: S608 - constants

    found = await attack(env, change)

    assert found == [f"the row of request voided disagrees with its events ({column})"]


@pytest.mark.usefixtures("history")
async def test_number_of_approvals_that_no_later_event_has_is_compared(env: Stores) -> None:
    found = await attack(env, "UPDATE requests SET approvals_needed = 0 WHERE id = 'last'")

    assert found == ["the row of request last disagrees with its events (approvals_needed)"]


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM approvals WHERE voided_at IS NULL",
        "UPDATE approvals SET voided_at = NULL WHERE voided_at IS NOT NULL",
        "UPDATE approvals SET at = at - 1 WHERE voided_at IS NULL",
        "UPDATE approvals SET \"user\" = 'U0EVE' WHERE voided_at IS NULL",
        "INSERT INTO approvals (request, \"user\", at) VALUES ('voided', 'U0EVE', 0)",
    ],
)
async def test_edited_approvals_disagree_with_their_events(env: Stores, change: str) -> None:
    found = await attack(env, change)

    assert found == ["the row of request voided disagrees with its events (approvals)"]


@pytest.mark.usefixtures("history")
@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("column", ["expires_at", "shown", "outcome", "event_count"])
async def test_value_of_another_type_in_a_row_is_found(env: Stores, column: str) -> None:
    change = f"UPDATE requests SET {column} = x'00ff' WHERE id = 'voided'"  # noqa: S608 - a constant

    found = await attack(env, change)

    assert found == [f"the row of request voided disagrees with its events ({column})"]


async def test_concurrent_replicas_write_one_chain(env: Stores, database_url: str) -> None:
    other = Database(database_url, timeout=DATABASE_TIMEOUT)
    replicas = (env.store, RequestStore(other, env.clock))

    await asyncio.gather(
        *(replicas[number % 2].create(a_request(), RINA) for number in range(20)),
    )
    await other.close()

    assert await env.record.verify() == []
    assert await env.record.count() == 40


async def test_events_are_filtered_by_actor_and_time(env: Stores) -> None:
    first = await env.store.create(a_waiting_request(), RINA)
    env.clock.advance(60)
    since = env.clock.now
    second = await env.store.create(a_waiting_request(), ADA)

    assert [line.request async for line in env.record.events()] == [first.id, second.id]
    assert [line.request async for line in env.record.events(since=since)] == [second.id]
    assert [line.request async for line in env.record.events(actor=RINA.id)] == [first.id]
