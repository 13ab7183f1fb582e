"""What runs every few seconds, or every hour, uses an index, however long the history is."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from sqlalchemy import Connection, event

from bot.cancellation.lifecycle import Request, State
from bot.cancellation.posts import PostKind
from bot.storage.event_store import WebhookStore
from bot.storage.quarantine_store import QuarantineStore
from tests.integration.storage.conftest import Stores
from tests.support.domain import (
    ADA,
    JOB_ID,
    PROJECT_ID,
    a_job,
    a_waiting_request,
    allow,
    job_ref,
    new_job_id,
)

Work: TypeAlias = Callable[[Stores, Request], Awaitable[object]]
CLUSTER = "prod-eu"
#: The other tables have a few rows.
BIG_TABLES = {"requests", "approvals", "posts", "watched_jobs", "audit_events"}
#: The index of the jobs that run.
OPEN_JOBS = "open_watched_jobs"


async def announce(env: Stores, _request: Request) -> None:
    job = a_job(id=new_job_id())
    await env.watch.record_jobs(PROJECT_ID, CLUSTER, [job])
    (known,) = (await env.jobs.get([job_ref(job.id)])).values()
    await env.notices.send_about(known, PostKind.ANNOUNCEMENT, [ADA])
    await env.watch.record_jobs(PROJECT_ID, CLUSTER, [])  # it is gone


async def post_to_webhook(env: Stores, _request: Request) -> None:
    store = WebhookStore(env.database, env.clock, "me")
    await store.backlog()
    backlog = await store.backlog()
    await store.unposted(backlog.starts_after, ["busy"], 8)


async def guard(env: Stores, _request: Request) -> None:
    quarantine = QuarantineStore(env.database, env.clock, lambda _project, _cluster: None)
    for read in (quarantine.waiting, quarantine.kept, quarantine.unguarded):
        await read()


WORK: dict[str, Work] = {
    "posts are claimed": lambda env, _: env.outbox.claim("me", 10, 2, 2, held=[7]),
    "runnable requests": lambda env, _: env.leases.list_runnable(),
    "requests that wait in vain": lambda env, _: env.store.end_due(),
    "open requests": lambda env, _: env.history.counts(),
    "requests to notify": lambda env, _: env.notices.list_due(),
    "request that ends": lambda env, request: env.store.decide(
        request.id, State.DENIED, ADA, allow, reason="no"
    ),
    "quarantines and keeps": guard,
    "webhook": post_to_webhook,
    "posts to delete": lambda env, _: env.history.delete_posts(),
    "job by its id": lambda env, _: env.jobs.with_id(JOB_ID, [PROJECT_ID]),
    "history": lambda env, _: env.history.recent(10, [PROJECT_ID]),
    "watched jobs": announce,
    "starters to ask": lambda env, _: env.notices.unasked(),
    "jobs that are followed": lambda env, _: env.jobs.followed(),
    "record of the watch": lambda env, _: env.watch.record_watch(PROJECT_ID),
}


@pytest.mark.parametrize("name", WORK)
@pytest.mark.databases("sqlite")  # PostgreSQL decides by statistics
async def test_frequent_work_uses_indexes(env: Stores, name: str) -> None:
    await env.watch.record_clusters(PROJECT_ID, [CLUSTER])
    await env.watch.record_jobs(PROJECT_ID, CLUSTER, [a_job(id=new_job_id())])
    request = await env.posted(a_waiting_request())
    ran: list[tuple[str, Any]] = []

    def note(_c: Any, _k: Any, sql: str, given: Any, _x: Any, many: bool) -> None:
        ran.append((sql, given[0] if many else given))

    event.listen(env.database.engine, "before_cursor_execute", note)
    await WORK[name](env, request)
    event.remove(env.database.engine, "before_cursor_execute", note)

    def scans(db: Connection) -> list[list[str]]:
        statements = [(sql, given) for sql, given in ran if not sql.startswith(("BEGIN", "PRAGMA"))]
        assert statements
        plans = [db.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", each) for sql, each in statements]
        steps = [str(row[-1]).split() for plan in plans for row in plan]
        return [each for each in steps if each[0] == "SCAN" and each[1] in BIG_TABLES]

    # Watched jobs are never deleted, so no statement may read them all, not even by an index.
    found = await env.database.read(scans)
    partial = [each for each in found if "INDEX" in each and each[1] != "watched_jobs"]
    partial += [each for each in found if each[-1] == OPEN_JOBS]
    assert [each for each in found if each not in partial] == []
