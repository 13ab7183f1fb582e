"""Databases that pause, restart, are full or locked: errors in time, and recovery."""

import asyncio
import gc
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from itertools import count as count_up
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, event, text

from bot.cancellation.change import Change
from bot.cancellation.errors import MaybeRecorded, NotRead, NotRecorded, RequestNotFound
from bot.cancellation.request import Request
from bot.storage import unit_of_work
from bot.storage.audit_log import AuditLog
from bot.storage.database import TIMEOUT, Database, wall_clock
from bot.storage.download_store import DownloadStore, Listing
from bot.storage.lease import Lease
from bot.storage.migrate import ensure_current
from bot.storage.request_store import RequestStore
from tests.integration.conftest import locked
from tests.support.domain import POLICY, PROJECT, RINA, START, job_ref, restore_job, submission
from tests.support.pgbouncer import pgbouncer
from tests.support.polling import wait_until
from tests.support.postgres import PostgresServer

#: Seconds that an answer may take beside the database's own timeout, on a busy machine.
SLACK = 4.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of its own, since these tests pause and kill it."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def on_postgres(server: PostgresServer) -> str:
    return server.new_database()


@pytest.fixture
def on_sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/bot.db"


@asynccontextmanager
async def opened(url: str, timeout: float = TIMEOUT) -> AsyncIterator[Database]:
    await ensure_current(url)
    database = Database(url, timeout=timeout)
    try:
        yield database
    finally:
        await database.close()
        gc.collect()  # what was not closed warns here, and warnings are errors


@pytest.fixture
async def in_file(on_sqlite: str) -> AsyncIterator[Database]:
    async with opened(on_sqlite) as database:
        yield database


@pytest.fixture
async def on_server(on_postgres: str) -> AsyncIterator[Database]:
    async with opened(on_postgres) as database:
        yield database


@asynccontextmanager
async def paused(server: PostgresServer) -> AsyncIterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


_numbers = count_up(1000)


def new_store(database: Database) -> RequestStore:
    return RequestStore(database, wall_clock, None)


async def create(store: RequestStore, number: int | None = None, reason: str = "x") -> Request:
    """Create a request about another download, or about the one with this number."""
    number = number or next(_numbers)
    asked = submission(f"V{number}", ref=job_ref(number=number), reason=reason)
    return (await store.submit(RINA, POLICY, asked)).request


class Stalls:
    """Measures how long the event loop was held up."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            self.longest = max(self.longest, time.monotonic() - began)


async def recovered(store: RequestStore, within: float = 20.0) -> None:
    """Write again and again until it is taken; raises `TimeoutError`."""
    async with asyncio.timeout(within):
        while True:
            try:
                await create(store)
            except NotRecorded:
                await asyncio.sleep(0.1)
            else:
                return


async def whole(database: Database) -> bool:
    return (await AuditLog(database, wall_clock, None).verify()).broken is None


async def count(database: Database) -> int:
    def work(db: Connection) -> int:
        return int(db.execute(text("SELECT count(*) FROM requests")).scalar_one())

    return await database.read(work)


@pytest.mark.parametrize("mode", [None, "session", "transaction"])
async def test_server_ends_what_a_stopped_process_has_begun_also_behind_a_pooler(
    server: PostgresServer, on_postgres: str, mode: str | None
) -> None:
    def limits(db: Connection) -> list[object]:
        names = ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout")
        return [db.execute(text(f"SHOW {name}")).scalar_one() for name in names]

    pooler = pgbouncer(server.port, mode) if mode else nullcontext(server.port)
    with pooler as port:
        async with opened(on_postgres.replace(f":{server.port}/", f":{port}/")) as database:
            several = await asyncio.gather(*(database.read(limits) for _ in range(8)))

    assert several == [["5s", "5s", "2500ms"]] * 8


async def test_paused_server_makes_every_call_fail_in_time_as_not_recorded(
    server: PostgresServer, on_server: Database
) -> None:
    store = new_store(on_server)
    await create(store)
    stalls = Stalls()
    watching = asyncio.create_task(stalls.watch())
    async with paused(server):
        began = time.monotonic()
        # More than the pool holds: calls without a connection fail as soon.
        writes = [create(store) for _ in range(30)]
        answers = await asyncio.gather(*writes, store.get("none"), return_exceptions=True)
        took = time.monotonic() - began
    watching.cancel()
    await recovered(store)
    await asyncio.gather(*(create(store) for _ in range(10)))

    assert {type(answer) for answer in answers[:-1]} == {NotRecorded}
    assert isinstance(answers[-1], NotRead)
    assert took < TIMEOUT + SLACK
    assert stalls.longest < TIMEOUT
    assert await count(on_server) == 12
    assert await whole(on_server)


async def test_pause_during_a_commit_raises_maybe_recorded(
    server: PostgresServer, on_server: Database
) -> None:
    paused_at: list[str] = []

    @event.listens_for(on_server.engine, "commit")
    def freeze(_connection: object) -> None:
        if paused_at == ["armed"]:
            paused_at.append("commit")
            server.pause()

    store = new_store(on_server)
    paused_at.append("armed")
    try:
        with pytest.raises(MaybeRecorded):
            await create(store, 7)
    finally:
        server.resume()
    # The same click once more: whichever way it went, it counts once.
    await create(store, 7)

    assert await count(on_server) == 1
    assert await whole(on_server)


@pytest.mark.parametrize(
    ("is_stored", "ends"),
    [(True, MaybeRecorded), (False, MaybeRecorded), (True, asyncio.CancelledError)],
)
async def test_event_whose_commit_got_no_answer_is_told_exactly_where_it_is_stored(
    database_url: str,
    ends: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_stored: bool,
) -> None:
    async with opened(database_url) as database:
        told: list[str] = []
        wakes: list[str] = []
        monkeypatch.setattr(unit_of_work, "log_audit_event", lambda line: told.append(line["hash"]))
        store = RequestStore(database, wall_clock, None, on_messages=lambda: wakes.append("wake"))
        loop, ended = asyncio.get_running_loop(), threading.Event()

        def lose_answer(connection: Connection) -> None:
            if is_stored:
                connection.connection.commit()
            if ends is asyncio.CancelledError:
                loop.call_soon_threadsafe(writing.cancel)
                ended.wait(5)
            raise OSError("no answer")

        event.listen(database.engine, "commit", lose_answer, once=True)
        writing = asyncio.create_task(create(store))
        with pytest.raises(ends):
            await writing
        ended.set()
        assert told == []

        await Lease(database, "process 1").take()

        lines = await AuditLog(database, wall_clock, None).page(0, None, None)
        assert told == [line["hash"] for _, line in lines]
        assert (len(told) > 0, len(wakes)) == (is_stored, int(is_stored))


@pytest.mark.parametrize("is_stored", [True, False])
async def test_download_whose_commit_got_no_answer_is_reported_exactly_where_it_is_stored(
    database_url: str, *, is_stored: bool
) -> None:
    async with opened(database_url) as database:
        lease = Lease(database, "process 1")
        await lease.take()
        reported: list[Change] = []
        database.report = reported.append
        store = DownloadStore(database, wall_clock, lease)
        listing = Listing(
            project_id=PROJECT, cluster="prod-eu", jobs=[restore_job()], read_at=START
        )

        def lose_answer(connection: Connection) -> None:
            if is_stored:
                connection.connection.commit()
            raise OSError("no answer")

        event.listen(database.engine, "commit", lose_answer, once=True)
        with pytest.raises(MaybeRecorded):
            await store.record_listing(listing, POLICY)
        assert reported == []

        await lease.take()

        assert len(reported) == is_stored


async def test_refused_commit_raises_not_recorded(on_server: Database) -> None:
    refuse = """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'refused'; END $$;
        CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON requests
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"""
    await on_server.write(lambda db: db.exec_driver_sql(refuse))
    with pytest.raises(NotRecorded):
        await create(new_store(on_server))

    assert await count(on_server) == 0


async def test_abandoned_transaction_never_commits(database_url: str) -> None:
    async with opened(database_url, timeout=0.3) as database:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()

        def slow(db: Connection) -> None:
            try:
                db.execute(text("CREATE TABLE too_late (id INTEGER)"))
                time.sleep(1)
            finally:
                loop.call_soon_threadsafe(ended.set)

        with pytest.raises(NotRecorded):
            await database.write(slow)
        await asyncio.wait_for(ended.wait(), 5)
        await asyncio.sleep(0.2)  # for a commit, if there were one

        assert await database.read(lambda db: db.dialect.has_table(db, "too_late")) is False


async def test_database_reconnects_after_a_server_crash(
    server: PostgresServer, on_server: Database
) -> None:
    store = new_store(on_server)
    await create(store)
    await asyncio.to_thread(server.stop, signal.SIGQUIT)
    began = time.monotonic()
    try:
        with pytest.raises(NotRecorded):
            await create(store)
        took = time.monotonic() - began
    finally:
        await asyncio.to_thread(server.start)
    await recovered(store)

    assert took < TIMEOUT + SLACK
    assert await count(on_server) == 2


async def test_close_does_not_wait_for_a_paused_server_and_logs_no_error(
    server: PostgresServer, on_postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    await ensure_current(on_postgres)
    database = Database(on_postgres)
    store = new_store(database)
    await asyncio.gather(*(create(store) for _ in range(8)))
    async with paused(server):
        with pytest.raises(NotRecorded):
            await create(store)
        began = time.monotonic()
        await database.close()
        took = time.monotonic() - began
    gc.collect()

    assert took < SLACK
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_commit_of_sqlite_survives_a_power_failure(in_file: Database) -> None:
    full = 2  # the mode that waits for the disk at each commit

    def modes(db: Connection) -> tuple[object, object]:
        names = ("journal_mode", "synchronous")
        first, second = (db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names)
        return first, second

    assert await in_file.read(modes) == ("wal", full)
    assert await in_file.write(modes) == ("wal", full)


async def test_full_disk_raises_not_recorded_and_later_writes_succeed(in_file: Database) -> None:
    store = new_store(in_file)
    await create(store)
    await each_connection(in_file, "PRAGMA max_page_count = 1")
    with pytest.raises(NotRecorded) as raised:
        await create(store, 2, "x" * 100_000)
    await each_connection(in_file, "PRAGMA max_page_count = 1000000")

    await create(store, 2, "x" * 100_000)

    assert "not saved, and nothing was done" in str(raised.value)
    assert await count(in_file) == 2
    assert await whole(in_file)


async def each_connection(database: Database, pragma: str) -> None:
    """Put every connection of the pool, idle or new, under `pragma` from now on."""
    engine = database.engine

    @event.listens_for(engine, "checkout")
    def set_it(connection: Any, _record: object, _proxy: object) -> None:
        cursor = connection.cursor()
        cursor.execute(pragma)
        cursor.close()


async def test_long_lock_of_another_process_fails_writes_in_time(
    in_file: Database, tmp_path: Path
) -> None:
    store = new_store(in_file)
    with locked(tmp_path):
        began = time.monotonic()
        writes = [create(store) for _ in range(5)]
        answers = await asyncio.gather(*writes, store.get("none"), return_exceptions=True)
        took = time.monotonic() - began
    await recovered(store)

    assert {type(answer) for answer in answers[:-1]} == {NotRecorded}
    assert isinstance(answers[-1], RequestNotFound)  # readers do not wait for writers
    assert took < TIMEOUT + SLACK
    assert await count(in_file) == 1


async def test_close_ends_a_write_that_waits_for_the_lock_of_another_process(
    on_sqlite: str, tmp_path: Path
) -> None:
    await ensure_current(on_sqlite)
    database, waiting = Database(on_sqlite, timeout=20.0), threading.Event()
    event.listen(database.engine, "checkout", lambda *_: waiting.set())
    with locked(tmp_path):
        writing = asyncio.create_task(create(new_store(database)))
        await wait_until(waiting.is_set)
        async with asyncio.timeout(5):
            await database.close()
            with pytest.raises(NotRecorded):
                await writing


async def test_new_sqlite_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    await ensure_current(f"sqlite:///{tmp_path}/bot.db")

    assert (tmp_path / "bot.db").stat().st_mode & 0o777 == 0o600


# Readiness: a check that writes


@pytest.fixture
def each_check_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.storage.database.MAX_WRITE_AGE", 0.0)


@pytest.mark.usefixtures("each_check_writes")
async def test_database_can_be_written(database_url: str) -> None:
    async with opened(database_url) as database:
        assert [await database.check_writable() for _ in range(2)] == [None, None]


async def test_commit_that_wrote_nothing_does_not_show_that_it_can_be_written(
    in_file: Database,
) -> None:
    await in_file.write(lambda db: db.execute(text("DELETE FROM replies WHERE false")))
    await each_connection(in_file, "PRAGMA query_only = ON")

    assert await in_file.check_writable() == "attempt to write a readonly database"


async def test_read_only_server_is_reported(on_server: Database) -> None:
    @event.listens_for(on_server.engine, "begin")
    def standby(connection: Connection) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    problem = await on_server.check_writable()

    assert problem
    assert "read-only transaction" in problem


async def test_file_that_may_not_be_written_is_reported(
    in_file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda _path, _mode: False)  # root may write every file
    problem = await in_file.check_writable()
    monkeypatch.undo()

    assert problem == "the file cannot be written"
    assert await in_file.check_writable() is None


async def test_connection_that_is_lost_while_it_opens_raises_not_read(on_server: Database) -> None:
    @event.listens_for(on_server.engine, "connect")
    def lose(*_: object) -> None:
        raise psycopg.OperationalError("connection is closed")

    with pytest.raises(NotRead):
        await on_server.read(lambda db: db.execute(text("SELECT 1")))


@pytest.mark.usefixtures("each_check_writes")
async def test_full_disk_is_reported_until_there_is_space(
    in_file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.storage.sqlite.MIN_FREE_BYTES", 2**62)
    full = await in_file.check_writable()
    monkeypatch.undo()

    assert full == "the disk is full"
    assert await in_file.check_writable() is None


@pytest.mark.usefixtures("each_check_writes")
async def test_lock_of_another_program_is_reported_until_its_end(
    on_sqlite: str, tmp_path: Path
) -> None:
    async with opened(on_sqlite, timeout=0.2) as database:
        with locked(tmp_path):
            problem = await database.check_writable()

        assert problem in {"database is locked", "it does not answer in time"}
        assert await database.check_writable() is None


@pytest.mark.usefixtures("each_check_writes")
async def test_lease_that_another_program_locks_is_reported_until_its_end(on_postgres: str) -> None:
    """Each write of the bot takes this lock."""
    async with opened(on_postgres, timeout=1.0) as database:
        with psycopg.connect(on_postgres) as other:
            other.execute("SELECT * FROM lease FOR UPDATE")
            problem = await database.check_writable()

        assert problem
        assert await database.check_writable() is None
