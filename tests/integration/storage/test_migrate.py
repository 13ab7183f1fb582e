"""The migrations create the schema of the code, once, completely, one replica at a time."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from bot.atlas import LINK_LIFETIME, JobState
from bot.cancellation import judgement
from bot.cancellation.job import USUAL_WAIT, LinkPhase, QuarantineDecision
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.policy import ClusterPolicy, Mode, Policies, Policy
from bot.cancellation.quarantine import WatchedCluster
from bot.cancellation.starter import StartedBy, Starter, StarterKind, StarterStatus
from bot.startup_checks import StartError, migrate
from bot.storage import migrate as schema
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database, milliseconds
from bot.storage.job_store import JobStore
from bot.storage.migrate import (
    NEWEST,
    SchemaError,
    alembic_config,
    ensure_current,
    is_current,
    run_migrations,
)
from bot.storage.migrate import VERSIONS as VERSION_TABLE
from bot.storage.outbox_store import OutboxStore
from bot.storage.posts import COPY_DELAY
from bot.storage.quarantine_store import QuarantineStore
from bot.storage.request_store import RequestStore
from bot.storage.tables import metadata
from bot.storage.watch_store import WatchStore
from tests.integration.conftest import locked
from tests.support.clock import NOON, FakeClock
from tests.support.domain import ADA, PROJECT_ID, RINA, a_job, a_request, job_ref, keep_all
from tests.support.timings import DATABASE_TIMEOUT

SCHEMA = Path(__file__).parent / "schema"

VERSIONS = [
    version.revision for version in ScriptDirectory.from_config(alembic_config()).walk_revisions()
][::-1]

#: A request as the first version kept it, with its audit events as they were chained then.
FIRST_REQUEST = {
    "id": "old",
    "key": "V0OLD",
    "state": "awaiting",
    "project_id": PROJECT_ID,
    "project_name": "shop-prod",
    "cluster_name": "prod-eu",
    "job_id": "5b622f7087d9d6039fafe03f",
    "team": "T0HOME",
    "requester": "U0RINA",
    "asked_in": "C0OPS",
    "channel": "C0OPS",
    "reason": "wrong cluster",
    "shown": '{"cancellable": true, "delivery_type": "download", "expires_at": null,'
    ' "link_is_live": false, "snapshot_id": "5b622e3587d9d6039faf713f", "snapshot_time": null,'
    ' "target": null}',
    "approvals_needed": 1,
    "created_at": 1795608000000,
    "changed_at": 1795608000000,
    "expires_at": 1795609800000,
    "event_count": 1,
}
FIRST_EVENT = {
    "request": "old",
    "number": 1,
    "at": "2026-11-25T12:00:00.000+00:00",
    "event": "request:created",
    "actor": "U0RINA",
    "team": "T0HOME",
    "detail": '{"approvals_needed":1,"asked_in":"C0OPS","channel":"C0OPS","cluster":"prod-eu",'
    '"expires_at":"2026-11-25T12:30:00+00:00","job":"5b622f7087d9d6039fafe03f",'
    '"project":"5b6212af90dc76637950a2c6","reason":"wrong cluster","shown":{"cancellable":true,'
    '"delivery_type":"download","expires_at":null,"link_is_live":false,'
    '"snapshot_id":"5b622e3587d9d6039faf713f","snapshot_time":null,"target":null},'
    '"state":"awaiting"}',
    "previous": "",
    "hash": "b377500d06efe200a41209eb31d4c81b1b47211805bf74ea0a563d5eb6d034e4",
}


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Database]:
    database = Database(empty_url, timeout=DATABASE_TIMEOUT)
    yield database
    await database.close()


async def execute(database: Database, statement: str, values: dict[str, Any] | None = None) -> None:
    await database.write(lambda db: db.execute(text(statement), values or {}).close())


async def insert(database: Database, table: str, values: dict[str, Any]) -> None:
    names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    await execute(database, f"INSERT INTO {table} ({names}) VALUES ({places})", values)  # noqa: S608 - constants


# Runs the migrations, in place of the tables that an empty database gets in one step.


def create_first_version(connection: Connection) -> None:
    """Create the tables of version 0001 as they were, from the statements of that version."""
    statements = (SCHEMA / f"0001.{connection.dialect.name}.sql").read_text(encoding="utf-8")
    for statement in statements.rstrip(";\n").split(";\n"):
        connection.exec_driver_sql(statement)
    VERSION_TABLE.create(connection)
    connection.execute(VERSION_TABLE.insert().values(version_num="0001"))


async def run_versions(empty_url: str) -> None:
    def upgrade(connection: Connection) -> None:
        with connection.begin():
            create_first_version(connection)
            run_migrations(connection)

    await schema._run(empty_url, upgrade, writes=True)


#: The description of all tables by the database: SQLite keeps their statements.
DESCRIPTIONS = {
    "sqlite": (
        "SELECT type, name, tbl_name, sql FROM sqlite_master",
        "SELECT m.name, c.* FROM sqlite_master m, pragma_table_xinfo(m.name) c",
    ),
    "postgresql": (
        "SELECT * FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint",
        "SELECT * FROM pg_sequences",
    ),
}


def description(connection: Connection) -> list[str]:
    """Return the database's description of its schema."""
    queries = DESCRIPTIONS[connection.dialect.name]
    rows = [row for each in queries for row in connection.exec_driver_sql(each)]
    return sorted(" | ".join(sorted_lines(str(field)) for field in row) for row in rows)


def sorted_lines(field: str) -> str:
    """Sort the parts of a SQLite statement: a later column stands behind the constraints there."""
    parts = [part.strip() for part in re.split(r"[,\n]|\)\Z", field)]
    return "\n".join(sorted(filter(None, parts)))


async def test_versions_create_exactly_the_constraints_and_indexes_of_the_code(
    empty: Database, empty_url: str
) -> None:
    """Alembic's own comparison ignores partial indexes and more."""

    def recreate(connection: Connection) -> None:
        metadata.drop_all(connection)
        metadata.create_all(connection)

    await run_versions(empty_url)
    from_versions = await empty.write(description)
    await empty.write(recreate)

    assert await empty.write(description) == from_versions


def test_versions_are_numbers_that_sort_in_order_and_newest_is_the_last() -> None:
    assert sorted(VERSIONS) == VERSIONS
    assert VERSIONS[-1] == NEWEST
    assert NEWEST.isdecimal()
    assert len(NEWEST) == len("0001")


@pytest.mark.parametrize("version", VERSIONS)
async def test_data_of_an_earlier_version_survives_the_upgrade(
    empty: Database, empty_url: str, version: str
) -> None:
    def create(connection: Connection) -> None:
        create_first_version(connection)
        command.upgrade(alembic_config(connection), version)

    await empty.write(create)
    await insert(empty, "requests", FIRST_REQUEST)
    await insert(empty, "audit_events", FIRST_EVENT)
    reference = f"{FIRST_EVENT['hash']} 1 old"
    await execute(empty, "UPDATE chain_head SET reference = :head", {"head": reference})

    await ensure_current(empty_url)

    requests = RequestStore(empty, FakeClock(NOON))
    approved = await requests.approve("old", RINA, lambda _request: None, keep_all)
    assert approved.state is State.APPROVED
    assert await AuditLog(empty).verify() == []


async def test_request_of_the_first_version_is_judged_by_the_entry_of_its_cluster_or_replaced(
    empty: Database, empty_url: str
) -> None:
    await empty.write(create_first_version)
    await insert(empty, "requests", FIRST_REQUEST)
    await insert(empty, "audit_events", FIRST_EVENT)
    await ensure_current(empty_url)
    policies = Policies(Policy(), (ClusterPolicy(("PROD-*",), Policy(approvals=2)),))
    people = {each.id: each for each in (RINA, ADA)}

    def judge(request: Request) -> Judgement:
        return judgement.judge(policies.of(request.ref.cluster_name), request, people)

    requests = RequestStore(empty, FakeClock(NOON))
    judged = await requests.approve("old", ADA, lambda _request: None, judge)
    await requests.create(a_request(ref=judged.ref, acted_alone=True), RINA)

    assert (judged.state, judged.approvals_needed) == (State.AWAITING, 2)
    assert (await requests.get("old")).state is State.OVER


async def test_download_that_the_first_version_cancelled_itself_counts_in_the_limit(
    empty: Database, empty_url: str
) -> None:
    await empty.write(create_first_version)
    cancelled = {"requester": "", "state": "cancelled", "delete_count": 1, "delete_accepted": True}
    await insert(empty, "requests", FIRST_REQUEST | cancelled)
    await ensure_current(empty_url)
    policy, clock = Policy(quarantine=Mode.ENFORCE, quarantine_limit=1), FakeClock(NOON)
    at = WatchedCluster(project="shop-prod", channel="C0WATCH", policy=policy)
    watch = WatchStore(empty, clock, "new", QuarantineStore(empty, clock, lambda *_place: at))
    await watch.record_watch(PROJECT_ID)
    await watch.record_clusters(PROJECT_ID, ["prod-eu"])
    for jobs in ([], [a_job()]):
        await watch.record_jobs(PROJECT_ID, "prod-eu", jobs)

    (job,) = (await JobStore(empty, clock).get([job_ref()])).values()
    assert job.quarantine is QuarantineDecision.BEYOND_LIMIT


async def test_jobs_of_the_first_version_keep_their_state_starter_and_clock(
    empty: Database, empty_url: str
) -> None:
    """One is announced and not over, one was asked for before the watch listed it."""
    announced, asked, history, failed = (job_ref(f"5b622f70{each:016x}") for each in range(4))
    starter = StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, name="dana"))
    facts = {
        "expected_at": milliseconds(NOON),
        "live_since": milliseconds(NOON),
        "until": milliseconds(NOON + LINK_LIFETIME),
        "phase": "live",
        "started_by": json.dumps(asdict(starter)),
    }
    seen = {"first_seen_at": 7, "changed_at": 7, "shown": FIRST_REQUEST["shown"]}
    await empty.write(create_first_version)
    for ref, values in (
        (announced, {"state": "link_live", "version": 2, "channel": "C0WATCH", "ts": "1.1"}),
        (history, {"state": "expired", "version": 0}),
        (failed, {"state": "failed", "version": 2}),
    ):
        await insert(empty, "watched_jobs", {**asdict(ref), **seen, **values})
    for ref in (announced, asked):
        await insert(empty, "job_facts", {**asdict(ref), **facts})
    cluster = {"project_id": PROJECT_ID, "cluster_name": "prod-eu", "first_read_at": 7}
    await insert(empty, "watched_clusters", cluster)

    await ensure_current(empty_url)

    store = JobStore(empty, FakeClock(NOON))
    known = await store.get([announced, asked, history, failed])
    for ref in (announced, asked):
        job = known[ref]
        assert (job.live_since, job.until) == (NOON, NOON + LINK_LIFETIME)
        assert (job.state, job.phase) == (JobState.LINK_LIVE, LinkPhase.LIVE)
        assert (job.expected_at, job.started_by) == (NOON, starter)
    assert (known[announced].version, known[asked].shown) == (2, None)
    assert known[announced].was_running
    assert known[history].expected_at == history.started_at + USUAL_WAIT
    assert known[failed].link_unknown
    assert [each.job.ref for each in await store.followed()] == [announced]


async def test_cluster_created_while_the_bot_was_upgraded_counts_as_created_later(
    empty: Database, empty_url: str
) -> None:
    await empty.write(create_first_version)
    cluster = {"project_id": PROJECT_ID, "cluster_name": "prod-eu", "first_read_at": 7}
    await insert(empty, "watched_clusters", cluster)
    await ensure_current(empty_url)
    watch = WatchStore(empty, FakeClock(NOON), "new")
    await watch.record_clusters(PROJECT_ID, ["created", "prod-eu"])
    await watch.record_jobs(PROJECT_ID, "created", [a_job()])

    ref = replace(job_ref(), cluster_name="created")
    assert not (await JobStore(empty, FakeClock(NOON)).get([ref]))[ref].was_running


#: Rows of the outbox as the first version kept them: one for each edit.
POST = {"event": "request:created", "at": 1795608000000, "detail": "{}", "due_at": 1795608000000}
ABOUT_REQUEST = POST | {"request": "old"}
CARD = ABOUT_REQUEST | {"id": 1, "kind": "card", "client_msg_id": "card", "priority": 0}
COPY = CARD | {"id": 2, "kind": "copy", "client_msg_id": "copy", "recipient": "U0ADA"}
EDIT = CARD | {"id": 3, "kind": "edit", "client_msg_id": "edit", "state": "due"}
COPY_EDIT = EDIT | {"id": 4, "client_msg_id": "edit of the copy", "recipient": "U0ADA", "edits": 2}
ANNOUNCED = POST | {
    "id": 5,
    "priority": 1,
    "kind": "announcement",
    "watched_job": 1,
    "client_msg_id": "job",
}
CHANGED = ANNOUNCED | {"id": 6, "client_msg_id": "change of the job"}
CHANGED_AGAIN = ANNOUNCED | {"id": 7, "client_msg_id": "another change", "state": "due"}
FIRST_JOB = {
    **{name: FIRST_REQUEST[name] for name in ("project_id", "cluster_name", "job_id", "shown")},
    "id": 1,
    "state": "in_progress",
    "version": 3,
    "channel": "C0WATCH",
    "ts": "5.0",
    **dict.fromkeys(("first_seen_at", "changed_at"), 1795608000000),
}
SENT = [
    CARD | {"state": "sent", "channel": "C0OPS", "ts": "1.0"},
    COPY | {"state": "sent", "channel": "D0ADA", "ts": "2.0"},
    ANNOUNCED | {"state": "sent", "channel": "C0WATCH", "ts": "5.0"},
    CHANGED | {"state": "sent", "channel": "C0WATCH", "ts": "5.0"},
]


@pytest.mark.parametrize("is_late", [False, True], ids=["before", "after, by an older replica"])
async def test_edits_that_were_rows_of_their_own_change_the_messages_that_were_sent(
    empty: Database, empty_url: str, is_late: bool
) -> None:
    async def add(*rows: dict[str, Any]) -> None:
        for row in rows:
            await insert(empty, "posts", row)

    await empty.write(create_first_version)
    await insert(empty, "requests", FIRST_REQUEST | {"card_channel": "C0OPS", "card_ts": "1.0"})
    await insert(empty, "watched_jobs", FIRST_JOB)
    await add(*SENT)
    if is_late:
        await ensure_current(empty_url)
    await add(EDIT, COPY_EDIT, CHANGED_AGAIN)
    if not is_late:
        await ensure_current(empty_url)

    outbox = OutboxStore(empty, clock := FakeClock(NOON))
    assert await outbox.claim("me", 8, 8, 8) == []  # it adopts them
    clock.advance(COPY_DELAY.total_seconds())
    edited = await outbox.claim("me", 8, 8, 8)

    assert [(post.id, post.place and post.place.ts) for post in edited] == [
        (1, "1.0"),
        (5, "5.0"),
        (2, "2.0"),
    ]
    for post in edited:
        await outbox.mark_sent(post, "", "")
    assert await outbox.claim("me", 8, 8, 8) == []


async def test_card_of_the_first_version_that_is_not_sent_yet_is_posted_once(
    empty: Database, empty_url: str
) -> None:
    await empty.write(create_first_version)
    await insert(empty, "requests", FIRST_REQUEST)
    for row in (CARD | {"state": "due"}, EDIT):
        await insert(empty, "posts", row)
    await ensure_current(empty_url)

    outbox = OutboxStore(empty, FakeClock(NOON))
    (card,) = await outbox.claim("me", 8)
    await outbox.mark_sent(card, "C0OPS", "1.0")

    assert (card.client_msg_id, card.place) == ("card", None)
    (edit,) = [post for _ in range(2) for post in await outbox.claim("me", 8)]
    assert (edit.id, edit.is_edit) == (card.id, True)


# When a start creates or upgrades them.


async def test_first_start_creates_the_tables_and_the_next_keeps_the_data(
    empty: Database, empty_url: str
) -> None:
    await ensure_current(empty_url)
    request = await RequestStore(empty, FakeClock()).create(a_request(), RINA)

    await ensure_current(empty_url)

    assert await RequestStore(empty, FakeClock()).get(request.id) == request
    assert await is_current(empty_url)


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
async def test_start_with_the_newest_version_does_not_load_alembic(empty_url: str) -> None:
    """It would take a quarter of a second and 10 MB."""
    await ensure_current(empty_url)
    program = (
        "import asyncio, sys; from bot.storage.migrate import ensure_current;"
        f"asyncio.run(ensure_current({empty_url!r})); sys.exit('alembic' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", program)

    assert await process.wait() == 0


async def test_failed_upgrade_changes_nothing(empty: Database, empty_url: str) -> None:
    """Otherwise another replica, or the next start, would begin between two versions."""
    await execute(empty, "CREATE TABLE open_watched_jobs (id INTEGER)")  # an index has this name
    with pytest.raises(DBAPIError, match="open_watched_jobs"):
        await ensure_current(empty_url)

    assert await empty.read(lambda db: inspect(db).get_table_names()) == ["open_watched_jobs"]
    with pytest.raises(StartError, match=r"cannot be opened \(.*open_watched_jobs"):
        await migrate(empty_url)


async def test_newer_schema_is_refused(empty: Database, empty_url: str) -> None:
    """An earlier program must not write into a newer schema."""
    await ensure_current(empty_url)
    await execute(empty, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SchemaError, match=r"version 9999.*go back to the backup"):
        await ensure_current(empty_url)
    with pytest.raises(StartError, match=r"DATABASE_URL cannot be used\. A newer program"):
        await migrate(empty_url)


@pytest.mark.parametrize(
    "tables",
    [
        {"requests": "CREATE TABLE requests (id INTEGER)"},
        {"alembic_version": "CREATE TABLE alembic_version AS SELECT 'ae1027d14d' AS version_num"},
        {"alembic_version": "CREATE TABLE alembic_version AS SELECT 7 AS version_num"},
    ],
)
async def test_tables_of_another_program_are_refused_and_kept(
    empty: Database, empty_url: str, tables: dict[str, str]
) -> None:
    ((name, statement),) = tables.items()
    await execute(empty, statement)
    with pytest.raises(StartError, match=rf"tables of another program \({name}\)\. Name a"):
        await migrate(empty_url)

    assert await empty.read(lambda db: inspect(db).get_table_names()) == [name]


# Several replicas, and other programs.


async def test_concurrent_starts_of_several_processes_all_succeed(empty_url: str) -> None:
    program = (
        "import asyncio; from bot.storage.migrate import ensure_current;"
        f"asyncio.run(ensure_current({empty_url!r}))"
    )
    replicas = [
        await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", program) for _ in range(3)
    ]

    assert [await replica.wait() for replica in replicas] == [0, 0, 0]
    assert await is_current(empty_url)


@pytest.fixture
def _short_lock_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", 0.2)


LOCK_OF_A_MIGRATION = ("PRAGMA journal_mode = WAL", "BEGIN IMMEDIATE")


@pytest.mark.usefixtures("_short_lock_timeout")
async def test_start_waits_for_another_migration_to_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/bot.db"
    with locked(tmp_path, *LOCK_OF_A_MIGRATION):
        start = asyncio.create_task(ensure_current(url))
        await asyncio.sleep(0.7)
    await start

    assert await is_current(url)


async def test_unrelated_tables_in_the_same_database_are_accepted(
    empty: Database, empty_url: str
) -> None:
    await execute(empty, "CREATE TABLE users (id INTEGER)")
    await ensure_current(empty_url)

    assert await is_current(empty_url)
