"""The model of downloads and requests, on both databases; `LIFE_CYCLE_EXAMPLES=2000` at night."""

import os
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from bot.storage.database import Database
from bot.storage.migrate import create_tables, ensure_current
from tests.integration.storage.life_cycle import LifeCycle
from tests.support.postgres import PostgresServer

EXAMPLES = int(os.environ.get("LIFE_CYCLE_EXAMPLES", "30"))
STEPS = 40
SLOW = 30.0  #: seconds for a transaction: a model of rules must not fail where a core is busy
#: A folder for the number of different runs on each database; empty: it is not written.
COUNTS = os.environ.get("LIFE_CYCLE_COUNTS", "")


class OnSqlite(LifeCycle):
    async def open_database(self) -> Database:
        database = Database("sqlite:///:memory:")
        await database.write(create_tables)
        return database


def play(machine: type[LifeCycle], examples: int) -> None:
    machine.different = set()
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=STEPS)
    )
    if COUNTS:
        Path(COUNTS, machine.__name__).write_text(str(len(machine.different)), "utf-8")


def test_life_cycle_on_sqlite() -> None:
    play(OnSqlite, EXAMPLES)


def test_life_cycle_on_postgresql(postgres: PostgresServer) -> None:
    """Fewer examples: they prove locks and types alone, and a server is slower."""

    class OnPostgres(LifeCycle):
        async def open_database(self) -> Database:
            url = postgres.emptied_database()
            await ensure_current(url)
            return Database(url, timeout=SLOW)

    play(OnPostgres, EXAMPLES // 4)
