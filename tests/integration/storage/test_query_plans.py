"""What runs every second, or every hour, uses an index, however long the history is."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
from sqlalchemy import Connection, event

from bot.storage.database import Database
from bot.storage.download_store import DownloadStore, Listing
from bot.storage.migrate import create_tables
from bot.storage.outbox_store import OutboxStore, Waiting
from bot.storage.request_store import RequestStore
from bot.storage.run_store import RunStore
from tests.support.backlog import copy_download, copy_reply
from tests.support.domain import AUTO_CANCEL, PROJECT, REF, RINA, START, restore_job, submission
from tests.support.postgres import PostgresServer

Work: TypeAlias = Callable[["Stores"], Awaitable[object]]
#: The tables that grow with the history.
BIG_TABLES = {"requests", "approvals", "replies", "downloads", "audit_events"}


class Stores:
    def __init__(self, database: Database) -> None:
        over = (database, lambda: START, None)
        self.requests, self.runs = RequestStore(*over), RunStore(*over)
        self.downloads, self.outbox = DownloadStore(*over), OutboxStore(*over)


LISTING = Listing(project_id=PROJECT, cluster="prod-eu", jobs=[restore_job()], read_at=START)
WORK: dict[str, Work] = {
    "deliveries": lambda stores: stores.outbox.due(10),
    "age of the outbox": lambda stores: stores.outbox.oldest(),
    "requests that run": lambda stores: stores.runs.running(),
    "requests that are due": lambda stores: stores.requests.due(),
    "open requests": lambda stores: stores.requests.count_open(),
    "submit": lambda stores: stores.requests.submit(RINA, AUTO_CANCEL, submission("V2")),
    "downloads that go on": lambda stores: stores.downloads.going_on(),
    "downloads to cancel": lambda stores: stores.downloads.due_to_auto_cancel(),
    "listing": lambda stores: stores.downloads.record_listing(LISTING, AUTO_CANCEL),
    "read": lambda stores: stores.downloads.record_job(
        REF, restore_job(failed=True), START + timedelta(seconds=1), AUTO_CANCEL
    ),
    "starters": lambda stores: stores.downloads.without_final_starters(PROJECT),
    "old rows": lambda stores: stores.downloads.delete_old(),
}


@pytest.mark.parametrize("name", WORK)
async def test_frequent_work_uses_indexes(name: str) -> None:
    database = Database("sqlite:///:memory:")  # PostgreSQL decides by statistics
    await database.write(create_tables)
    stores, ran = Stores(database), list[tuple[str, Any]]()
    await stores.requests.submit(RINA, AUTO_CANCEL, submission())

    def note(_c: Any, _k: Any, sql: str, given: Any, _x: Any, many: bool) -> None:
        ran.append((sql, given[0] if many else given))

    event.listen(database.engine, "before_cursor_execute", note)
    await WORK[name](stores)
    event.remove(database.engine, "before_cursor_execute", note)

    def scans(db: Connection) -> list[list[str]]:
        statements = [(sql, given) for sql, given in ran if not sql.startswith(("BEGIN", "PRAGMA"))]
        assert statements
        plans = [db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", x) for sql, x in statements]
        steps = [str(row[-1]).split() for plan in plans for row in plan]
        return [step for step in steps if step[0] == "SCAN" and step[1] in BIG_TABLES]

    found = await database.read(scans)
    await database.close()
    # A partial index has the open rows alone; the newest event is the last row of its table.
    whole = [step for step in found if "INDEX" not in step and step[1] != "audit_events"]
    assert whole == []


async def test_deliveries_on_postgresql_read_no_whole_table(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    database = Database(url)
    await database.write(create_tables)
    stores = Stores(database)
    await stores.requests.submit(RINA, AUTO_CANCEL, submission())
    shown = {"ts": "1.0", "shown_version": 1, "wanted_version": 1}
    await database.write(lambda db: copy_download(db, REF, 2000, **shown))
    await database.write(lambda db: copy_reply(db, REF, 2000, posted_at=START))
    postgres.execute("ANALYZE", url.rpartition("/")[2])
    plans: list[str] = []

    def explain(connection: Connection, _k: Any, sql: str, given: Any, _x: Any, _m: bool) -> None:
        if not sql.startswith("EXPLAIN"):
            rows = connection.exec_driver_sql(f"EXPLAIN {sql}", given)
            plans.extend(str(row[0]).strip(" ->") for row in rows)

    event.listen(database.engine, "before_cursor_execute", explain)
    found = await stores.outbox.due(10, Waiting(posts={"C0DEAD"}), {PROJECT: "C0OPS"})
    await database.close()

    assert [item.download.ref for item in found] == [REF]
    assert [step for step in plans if "Seq Scan" in step] == []
    for name in ("undelivered_downloads", "unposted_replies"):
        assert any(name in step for step in plans)
