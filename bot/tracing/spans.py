"""Makes spans of what is done for requests: all of one request are in one trace, its id the same.

Whatever looks for something to do is not traced, only what is done then. No span has what a person
typed, a token, a link, or more of an address than its path.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode
from structlog.contextvars import bound_contextvars

from bot.cancellation.request_context import bind_to_log, current_request_id, is_request_id
from bot.tracing.ledger import follow
from bot.tracing.slack import calls_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import TraceConfig
    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Span
    from opentelemetry.sdk.trace.export import SpanExporter
    from sqlalchemy import Engine

    from bot.atlas import CallRecord

#: The attribute that every span of a request has.
REQUEST = "cancel_restore.request"

NANOSECONDS = 1_000_000_000

#: The first status that says no.
REFUSED = 400

log = structlog.get_logger(__name__)


class RequestIds(RandomIdGenerator):
    """Gives the trace of a request the request's own id, in whatever replica a part of it is."""

    def generate_trace_id(self) -> int:
        request = current_request_id()
        if is_request_id(request) and (number := int(str(request), 16)):
            return number
        return super().generate_trace_id()


class RequestMarks(SpanProcessor):
    """Marks every span with the request for which something is done."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        del parent_context
        if request := current_request_id():
            span.set_attribute(REQUEST, request)


class Spans:
    """`Tracing` with OpenTelemetry.

    Args:
        exporter: takes the spans, in a thread of its own.
        resource: who traces.
    """

    def __init__(self, exporter: SpanExporter, resource: Resource) -> None:
        self._exporter = exporter
        self._provider = TracerProvider(
            resource=resource, id_generator=RequestIds(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(RequestMarks())
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("cancel-restore")

    @contextmanager
    def trail(self, name: str, request: str | None, /) -> Iterator[None]:
        with bind_to_log(name, request), self._span(name) as ids, bound_contextvars(**ids):
            yield

    @contextmanager
    def _span(self, name: str) -> Iterator[dict[str, str]]:
        # An exception's text may repeat anything, so its type must do.
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield _ids(span)
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def answered(self, answered: CallRecord) -> None:
        if not trace.get_current_span().get_span_context().is_valid:
            return
        ended = time.time_ns()
        known = {"http.response.status_code": answered.status} if answered.status else {}
        span = self._tracer.start_span(
            f"Atlas {answered.method}",
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": answered.method,
                "url.path": answered.path,
                **known,
            },
            start_time=ended - round(answered.seconds * NANOSECONDS),
        )
        if answered.status is None or (answered.status >= REFUSED and not answered.challenge):
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    def follow_ledger(self, engine: Engine) -> None:
        follow(engine, self._tracer)

    def slack_calls(self, api_url: str) -> list[TraceConfig]:
        return [calls_to(api_url, self._tracer)]

    async def close(self, seconds: float) -> None:
        """Hand over what is held, in a thread that nothing waits for beyond `seconds`."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="tracing", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                await done.wait()
        except TimeoutError:
            log.warning("last spans given up: whoever collects them does not answer")
            self._exporter.shutdown()


def _ids(span: trace.Span) -> dict[str, str]:
    """Return what a line of the log has, so that its span is found."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
