"""The audit log: a chain of hashes in which each change of the stored events shows."""

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, delete, update

from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.request_store import RequestStore
from bot.storage.tables import audit_events
from tests.support.domain import ADA, POLICY, RINA, START, submission


async def record_some(database: Database) -> AuditLog:
    store = RequestStore(database, lambda: START, None)
    request = (await store.submit(RINA, POLICY, submission())).request
    await store.approve(request.id, ADA, POLICY)
    return AuditLog(database, lambda: START, None)


async def test_untouched_log_is_intact_and_ends_with_the_hash_of_the_last_line(
    database: Database,
) -> None:
    log = await record_some(database)

    found = await log.verify()
    lines = [line for _, line in await log.page(0, None, None)]

    assert (found.broken, found.count) == (None, 2)
    assert found.last_hash == lines[-1]["hash"]
    assert {"at", "event", "request", "actor", "team", "hash"} <= lines[0].keys()
    assert (lines[0]["reason"], lines[0]["actor"]) == ("wrong cluster", "U0RINA")


def change_actor(db: Connection) -> None:
    db.execute(update(audit_events).where(audit_events.c.id == 1).values(actor="U0EVE"))


def change_body(db: Connection) -> None:
    body = '{"event":"request:created"}'
    db.execute(update(audit_events).where(audit_events.c.id == 1).values(body=body))


def remove_first(db: Connection) -> None:
    db.execute(delete(audit_events).where(audit_events.c.id == 1))


def reorder(db: Connection) -> None:
    for before, after in ((1, 99), (2, 1), (99, 2)):
        db.execute(update(audit_events).where(audit_events.c.id == before).values(id=after))


@pytest.mark.parametrize("damage", [change_actor, change_body, remove_first, reorder])
async def test_changed_removed_or_reordered_event_breaks_the_chain(
    database: Database, damage: Callable[[Connection], None]
) -> None:
    log = await record_some(database)
    await database.write(damage)

    broken = (await log.verify()).broken

    assert broken is not None
    assert "event 1" in broken


async def test_page_continues_after_a_number_and_keeps_to_the_times(database: Database) -> None:
    log = await record_some(database)
    (first, _), _ = await log.page(0, None, None)

    assert [line["event"] for _, line in await log.page(first, None, None)] == ["request:approved"]
    assert await log.page(0, None, START) == []
    assert len(await log.page(0, START, None)) == 2
