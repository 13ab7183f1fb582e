"""Fills a database with a long history, with one statement per table."""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import make_url

from bot.cancellation.starter import NOT_READ
from bot.storage.database import Database, open_executor
from bot.storage.migrate import ensure_current
from tests.support.domain import PROJECT_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

#: The number of newest requests that still wait for approval.
WAITING = 5

#: Milliseconds over which the history is spread; less than the retention of requests.
SPREAD = 60 * 24 * 3600 * 1000
HOUR = 3600 * 1000

SHOWN = (
    '{"cancellable": true, "delivery_type": "download", "expires_at": null, "snapshot_id":'
    ' "5b622e3587d9d6039faf713f", "snapshot_time": "2026-11-25T09:00:00+00:00"}'
)
OUTCOME = (
    '{"by": null, "code": null, "sentence": "Atlas confirms that the download is cancelled.",'
    ' "status": null}'
)

#: SQL that differs between the databases: numbers from 1, eight hex digits that vary like those of
#: ids, and a time in the format of the audit log.
DIALECTS = {
    "sqlite": {
        "numbers": (
            "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)"
            " SELECT i FROM n) AS n"
        ),
        "hex": "printf('%08x', i * 2654435761 % 4294967296)",
        "at": "strftime('%Y-%m-%dT%H:%M:%S', ({created}) / 1000, 'unixepoch') || '.000+00:00'",
    },
    "postgresql": {
        "numbers": "generate_series(CAST(1 AS BIGINT), CAST(:count AS BIGINT)) AS n(i)",
        "hex": "lpad(to_hex(i * 2654435761 % 4294967296), 8, '0')",
        "at": (
            "to_char(to_timestamp(({created}) / 1000) AT TIME ZONE 'UTC',"
            " 'YYYY-MM-DD\"T\"HH24:MI:SS') || '.000+00:00'"
        ),
    },
}

CREATED = "CAST(:now AS BIGINT) - (CAST(:count AS BIGINT) - i) * CAST(:step AS BIGINT)"

#: Whether the request has an outcome, and which rows of a request exist.
ENDED = "i <= :count - CAST(:waiting AS BIGINT)"

REQUESTS = """
INSERT INTO requests (
    id, key, state, project_id, project_name, cluster_name, job_id, team, requester, asked_in,
    channel, reason, shown, approvals_needed, created_at, changed_at, expires_at, delete_count,
    delete_accepted, delete_unknown, outcome, card_channel, card_ts, event_count)
SELECT
    'request-' || {hex}, 'V' || {hex}, CASE WHEN {ended} THEN 'cancelled' ELSE 'awaiting' END,
    :project, 'shop-prod', 'cluster-' || (i % 60), 'a0b1c2d3e4f5a6b7' || {hex}, 'T0HOME', 'U0RINA',
    'C0OPS', 'C0OPS', 'the wrong cluster was chosen', :shown, 1, {created}, {created},
    CAST(:now AS BIGINT) + :hour, CASE WHEN {ended} THEN 1 ELSE 0 END, {ended}, false,
    CASE WHEN {ended} THEN :outcome ELSE '{{}}' END, 'C0OPS', '1764.' || i,
    CASE WHEN {ended} THEN 6 ELSE 1 END
FROM {numbers}
"""

APPROVALS = """
INSERT INTO approvals (request, "user", at)
SELECT 'request-' || {hex}, 'U0ADA', {created} FROM {numbers} WHERE {ended}
"""

POSTS = """
INSERT INTO posts (
    id, request, kind, event, actor, at, detail, client_msg_id, state, due_at, attempts,
    lease_owner, lease_until, channel, ts)
SELECT
    (i - 1) * 3 + column1, 'request-' || {hex}, column2, column3, NULL, {created}, '{{}}',
    {hex} || '-0000-5000-8000-' || column1, 'sent', {created}, 1, 'a1b2c3d4e5f6', {created},
    'C0OPS', '1764.' || i
FROM {numbers} CROSS JOIN (VALUES
    (1, 'card', 'request:created'), (2, 'reply', 'request:approved'),
    (3, 'reply', 'request:cancelled')) AS lines
WHERE {ended} OR column1 = 1
"""

EVENTS = """
INSERT INTO audit_events (
    id, request, number, at, event, actor, team, detail, previous, hash)
SELECT
    (i - 1) * 6 + column1, 'request-' || {hex}, column1, {at}, column2,
    CASE WHEN column1 < 3 THEN 'U0RINA' END, 'T0HOME',
    CASE WHEN column1 = 1 THEN
        '{{"approvals_needed": 1,"asked_in":"C0OPS","channel":"C0OPS","cluster":"cluster-'
        || (i % 60) || '","job":"a0b1c2d3e4f5a6b7' || {hex} || '","project":"' || :project
        || '","reason":"the wrong cluster was chosen","shown":' || :shown || '}}'
    ELSE '{{"runner":"a1b2c3d4e5f6"}}' END,
    '{hash}', '{hash}'
FROM {numbers} CROSS JOIN (VALUES
    (1, 'request:created'), (2, 'request:approved'), (3, 'request:cancelling'),
    (4, 'atlas:cancel_sent'), (5, 'atlas:cancel_answered'), (6, 'request:cancelled')) AS lines
WHERE {ended} OR column1 = 1
"""

WATCHED_JOBS = """
INSERT INTO watched_jobs (
    id, project_id, cluster_name, job_id, state, shown, first_seen_at, changed_at, version,
    channel, ts, expected_at, live_since, phase, started_by)
SELECT
    i, :project, 'cluster-' || (i % 60), 'a0b1c2d3e4f5a6b7' || {hex}, 'cancelled', :shown,
    {created}, {created}, 1, 'C0OPS', '1764.' || i, {created},
    CASE WHEN i % 10 = 0 THEN {created} END, 'ended', :starter
FROM {numbers}
"""

ANNOUNCEMENTS = """
INSERT INTO posts (
    id, watched_job, kind, at, detail, client_msg_id, state, due_at, attempts, channel, ts)
SELECT
    CAST(:count AS BIGINT) * 3 + i, i, 'announcement', {created}, '{{}}',
    {hex} || '-0000-5000-8000-4', 'sent', {created}, 1, 'C0OPS', '1764.' || i
FROM {numbers}
"""

STATEMENTS = (REQUESTS, APPROVALS, POSTS, EVENTS, WATCHED_JOBS, ANNOUNCEMENTS)

#: The file is temporary and need not survive a crash.
PRAGMAS = ("PRAGMA synchronous = OFF", "PRAGMA cache_size = -1000000")

#: Work of a server in use: it advances sequences, and autovacuum updates statistics.
SETTLED = (
    "SELECT setval(pg_get_serial_sequence('posts', 'id'), max(id)) FROM posts",
    "SELECT setval(pg_get_serial_sequence('audit_events', 'id'), max(id)) FROM audit_events",
    "SELECT setval(pg_get_serial_sequence('watched_jobs', 'id'), max(id)) FROM watched_jobs",
    "VACUUM ANALYZE",
)

#: Statements before and after the inserts.
AROUND: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "sqlite": (PRAGMAS, ()),
    "postgresql": ((), SETTLED),
}

#: Seconds for a million rows.
MINUTES = 1800


async def seed(database_url: str, count: int) -> None:
    """Migrate, and insert `count` requests with all their rows."""
    database = Database(database_url)
    await ensure_current(database_url)
    await database.close()
    if database_url.startswith("sqlite"):
        await asyncio.to_thread(_fill_file, database_url, count)
        return
    # Not transactions of `Database`: those end at a timeout, and this takes minutes.
    store = open_executor(make_url(database_url), MINUTES, MINUTES)
    await store.run(partial(_fill, count), {"isolation_level": "AUTOCOMMIT"})
    await store.close()


def _fill_file(database_url: str, count: int) -> None:
    # Not a `Database`: that one begins a transaction, in which no such pragma can be set.
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        _fill(count, connection)


def _fill(count: int, connection: Connection) -> None:
    before, after = AROUND[connection.dialect.name]
    for statement in before:
        connection.exec_driver_sql(statement)
    _fill_tables(count, connection)
    for statement in after:
        connection.exec_driver_sql(statement)


def _fill_tables(count: int, connection: Connection) -> None:
    dialect = DIALECTS[connection.dialect.name]
    at = dialect["at"].format(created=CREATED)
    words = {**dialect, "at": at, "created": CREATED, "ended": ENDED, "hash": "0" * 64}
    values = {
        "count": count,
        "waiting": WAITING,
        "now": round(time.time() * 1000),
        "step": SPREAD // count,
        "hour": HOUR,
        "project": PROJECT_ID,
        "shown": SHOWN,
        "outcome": OUTCOME,
        "starter": json.dumps(NOT_READ.to_json()),
    }
    for template in STATEMENTS:
        statement = text(template.format(**words))
        names = statement.compile().params.keys()
        connection.execute(statement, {name: values[name] for name in names})
