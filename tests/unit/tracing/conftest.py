"""Spans that are kept in memory, where a test can read them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bot.tracing.spans import SpanTracing


@dataclass(frozen=True, slots=True)
class Traced:
    """Tracing, and its exported spans."""

    spans: SpanTracing
    exporter: InMemorySpanExporter

    async def finished(self) -> tuple[ReadableSpan, ...]:
        """End the tracing and return all spans, as they ended."""
        await self.spans.close(5.0)
        return self.exporter.get_finished_spans()


@pytest.fixture
async def traced() -> AsyncIterator[Traced]:
    exporter = InMemorySpanExporter()
    spans = SpanTracing(exporter, Resource({}))
    yield Traced(spans, exporter)
    await spans.close(5.0)
