"""A list of a cluster with a long history is stored by a few statements, on each database."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from bot.storage.database import Database
from bot.storage.download_store import DownloadStore, Listing
from bot.storage.outbox_store import OutboxStore
from tests.support.domain import AUTO_CANCEL, PROJECT, REF, START, job_ref, restore_job

#: The starts of old jobs, newest first; the watch first started before the newest 300.
OLD = [START - number * timedelta(minutes=10) for number in range(1, 4001)]
WATCH_STARTED = OLD[299]
FEW = 20  #: statements for one list


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, timeout=30)
    yield database
    await database.close()


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        ({"deliveryType": "automated", "finishedAt": START}, 0),
        ({"expired": True, "expiresAt": START}, 300),
    ],
    ids=["automated", "downloads"],
)
async def test_new_download_beside_thousands_of_old_jobs_is_announced_by_a_few_statements(
    values: dict[str, Any], stored: int, database: Database
) -> None:
    store = DownloadStore(database, lambda: START, None)
    await store.start_watch(PROJECT, WATCH_STARTED)
    old = [restore_job(job_ref(at), **values) for at in OLD]
    first, second, third = (
        Listing(project_id=PROJECT, cluster="prod-eu", jobs=[*new, *old], read_at=read_at)
        for new, read_at in (
            ([], START),
            ([restore_job()], START + timedelta(seconds=60)),
            ([restore_job()], START + timedelta(seconds=120)),
        )
    )
    ran: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: ran.append(given[2]))

    seen = [
        len(await store.record_listing(listing, AUTO_CANCEL)) for listing in (first, second, third)
    ]

    assert seen == [stored, 1, 0]
    assert len(ran) <= 3 * FEW
    deliveries = await OutboxStore(database, lambda: START, None).due(500)
    assert REF in {item.download.ref for item in deliveries}
