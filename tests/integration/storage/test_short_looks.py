"""However long the history is, no look of every two seconds may read a whole table."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from bot.storage.queries import outbox as outbox_queries
from bot.storage.queries import requests as request_queries
from tests.support.domain import NOON

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bot.storage.database import Database

LOOKS = {
    "what is to be posted": (outbox_queries.due_posts(), outbox_queries.bounds(NOON, 10)),
    "what is to be run": (request_queries.runnable_requests(NOON, 10), None),
    "what waited long enough": (request_queries.expired_requests(NOON, 10), None),
    "how much is open": (request_queries.count_open_requests(), None),
    "what is to be forgotten": (request_queries.prune_requests(NOON - timedelta(days=90)), None),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # PostgreSQL goes by statistics
async def test_a_look_goes_by_an_index(database: Database, look: str) -> None:
    statement, values = LOOKS[look]
    ran: list[tuple[str, Any]] = []

    def note(_c: Any, _k: Any, sql: str, given: Any, _x: Any, _many: bool) -> None:
        ran.append((sql, given))

    def plan(db: Connection) -> list[str]:
        event.listen(db, "before_cursor_execute", note)
        db.execute(statement, values).close()
        event.remove(db, "before_cursor_execute", note)
        sql, given = ran[-1]  # the first may have begun the transaction
        return [str(row[-1]) for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)]

    steps = await database.write(plan)

    assert steps
    assert [step for step in steps if step.startswith("SCAN") and "INDEX" not in step] == []
