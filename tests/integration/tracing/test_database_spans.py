"""Spans of transactions on both databases: of completed and of abandoned ones."""

from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import Connection, select

from bot.cancellation.errors import NotRecorded
from bot.storage.database import Database
from bot.storage.tables import audit_events
from bot.tracing.spans import SpanTracing
from tests.support.pauses import pause
from tests.support.timings import DATABASE_TIMEOUT


class Watched:
    """A database whose transactions are traced, and the spans that ended."""

    def __init__(self, database_url: str, timeout: float) -> None:
        self.exporter = InMemorySpanExporter()
        self.spans = SpanTracing(self.exporter, Resource({}))
        self.database = Database(database_url, timeout=timeout)
        self.spans.instrument_database(self.database.engine)

    async def close(self) -> tuple[ReadableSpan, ...]:
        await self.database.close()
        await self.spans.close(5.0)
        return self.exporter.get_finished_spans()


@pytest.fixture
async def watched(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Watched]:
    watched = Watched(database_url, getattr(request, "param", DATABASE_TIMEOUT))
    yield watched
    await watched.close()


def query(db: Connection) -> None:
    db.execute(select(audit_events))


async def test_transaction_is_a_span_with_its_database_and_tables(watched: Watched) -> None:
    with watched.spans.trace("run", None):
        await watched.database.read(query)
    system = "sqlite" if watched.database.is_sqlite else "postgresql"
    span, run = await watched.close()

    assert (span.name, span.parent) == ("transaction", run.context)
    assert dict(span.attributes or {}) == {
        "db.system.name": system,
        "db.query.summary": "SELECT audit_events",
    }


@pytest.mark.parametrize("watched", [0.5], indirect=True)
async def test_abandoned_transaction_ends_its_span(watched: Watched) -> None:
    def hangs(db: Connection) -> None:
        query(db)
        pause(db, 1)

    with watched.spans.trace("run", None), pytest.raises(NotRecorded):
        await watched.database.write(hangs)
    found = await watched.close()

    assert sorted(span.name for span in found) == ["run", "transaction"]
