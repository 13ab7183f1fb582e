"""Queries that run every few seconds, or every hour, use an index, however long the history is."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from bot.cancellation.posts import ANNOUNCEMENTS, PostKind
from bot.storage import queries
from bot.storage.event_store import next_unposted, oldest_unposted
from bot.storage.history import NEWEST_OF_PROJECT, old_posts
from bot.storage.job_store import WITH_ID, jobs_among
from bot.storage.lease_store import runnable_requests
from bot.storage.notice_store import requests_to_notify
from bot.storage.outbox_store import DUE_POSTS, LONGEST_DELAY
from bot.storage.posts import SHOW_END, SHOW_JOB, SHOW_REQUEST, posts_about
from bot.storage.request_store import COUNT_OPEN, lock_due
from bot.storage.watch_store import (
    clusters_with_open_jobs,
    downloads_disowned,
    downloads_seen,
    jobs_of,
)
from tests.integration.storage.conftest import Stores
from tests.support.clock import NOON
from tests.support.domain import JOB_ID, PROJECT_ID, job_ref

QUERIES = {
    "due posts": (
        DUE_POSTS,
        {"owner": "me", "held": [7], "now": NOON, "far": NOON + LONGEST_DELAY, "limit": 10},
    ),
    "runnable requests": (runnable_requests(NOON, 10), None),
    "requests that wait in vain": (lock_due(NOON, 10), None),
    "open requests": (COUNT_OPEN, None),
    "requests to notify": (requests_to_notify(NOON, 10), None),
    "announcements of a job": (SHOW_JOB, {"of": 1, "due": NOON}),
    "announcement of an ended request": (SHOW_END, {"due": NOON, **asdict(job_ref())}),
    "messages of a request": (
        SHOW_REQUEST,
        {"of": "request-1", "of_kind": PostKind.CARD, "due": NOON, "rank": 0},
    ),
    "keeps that may be void": (queries.KEPT_AND_OPEN, None),
    "quarantines that go on": (queries.OVER_AND_OPEN, None),
    "unposted events": (next_unposted(1, ["busy"]).limit(8), None),
    "oldest unposted event": (oldest_unposted(1), None),
    "posts to delete": (old_posts(NOON - timedelta(days=90)), None),
    "job by its id": (WITH_ID, {"project_ids": [PROJECT_ID], "job_id": JOB_ID}),
    "history": (NEWEST_OF_PROJECT, {"project_id": PROJECT_ID, "count": 10}),
    # Watched jobs are never deleted, so no statement may read them all, not even by an index.
    "jobs: announcements of one": (posts_about(1, ANNOUNCEMENTS), None),
    "jobs: clusters with open ones": (clusters_with_open_jobs(PROJECT_ID), None),
    "jobs: downloads on record": (downloads_seen(PROJECT_ID), None),
    "jobs: disowned downloads": (downloads_disowned(PROJECT_ID), None),
    "jobs: of a cluster": (jobs_of(PROJECT_ID, "prod-eu"), None),
    "jobs: by their rows": (jobs_among([1, 2]), None),
    "jobs: newest request for one": (queries.NEWEST_REQUEST_FOR, asdict(job_ref())),
}


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize(
    "database_url", ["sqlite"], indirect=True
)  # PostgreSQL decides by statistics
async def test_frequent_query_uses_an_index(env: Stores, name: str) -> None:
    statement, values = QUERIES[name]
    ran: list[tuple[str, Any]] = []

    def note(_c: Any, _k: Any, sql: str, given: Any, _x: Any, _many: bool) -> None:
        ran.append((sql, given))

    def plan(db: Connection) -> list[str]:
        event.listen(db, "before_cursor_execute", note)
        db.execute(statement, values).close()
        event.remove(db, "before_cursor_execute", note)
        sql, given = ran[-1]  # the first may have begun the transaction
        return [str(row[-1]) for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)]

    steps = await env.database.write(plan)

    assert steps
    scans = [step for step in steps if step.startswith("SCAN")]
    assert [step for step in scans if "INDEX" not in step or name.startswith("jobs:")] == []
