"""Traces requests with OpenTelemetry: one trace per request, with the request's id.

Polling is not traced, only the work that it finds. No span has text that a person typed, a token,
a link, or more of a URL than its path.
"""

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from http import HTTPStatus
from importlib.metadata import version

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from pydantic import SecretStr
from structlog.contextvars import bound_contextvars

from bot.atlas import CallRecord
from bot.cancellation.request_context import bind_to_log, current_request_id, is_request_id
from bot.settings import TracingSettings
from bot.tracing import Tracing

PROGRAM = "cancel-restore"
REQUEST = "cancel_restore.request"

log = structlog.get_logger(__name__)


class RequestIdGenerator(RandomIdGenerator):
    """Makes the request's id the id of its trace, so that all replicas share one trace."""

    def generate_trace_id(self) -> int:
        request = current_request_id()
        if is_request_id(request) and (number := int(str(request), 16)):
            return number
        return super().generate_trace_id()


class RequestAttribute(SpanProcessor):
    """Adds the current request's id to each span."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        del parent_context
        if request := current_request_id():
            span.set_attribute(REQUEST, request)


class SpanTracing(Tracing):
    """Tracing with OpenTelemetry; `exporter` runs in a thread of its own."""

    def __init__(self, exporter: SpanExporter, resource: Resource) -> None:
        self._exporter = exporter
        self._provider = TracerProvider(
            resource=resource, id_generator=RequestIdGenerator(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(RequestAttribute())
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(PROGRAM)

    @contextmanager
    def trace(self, name: str, request: str | None, /) -> Iterator[None]:
        with (
            bind_to_log(name, request),
            open_span(self._tracer, name, SpanKind.INTERNAL) as span,
            bound_contextvars(**_log_fields(span)),
        ):
            yield

    def slack_call(self, method: str) -> AbstractContextManager[object]:
        if not is_traced():
            return nullcontext()
        return open_span(self._tracer, f"Slack {method}", SpanKind.CLIENT)

    def record_atlas_call(self, call: CallRecord) -> None:
        if not is_traced():
            return
        ended = time.time_ns()
        status = {"http.response.status_code": call.status} if call.status else {}
        span = self._tracer.start_span(
            f"Atlas {call.method}",
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": call.method, "url.path": call.path, **status},
            start_time=ended - round(call.seconds * 1e9),
        )
        if call.status is None or (call.status >= HTTPStatus.BAD_REQUEST and not call.challenge):
            span.set_status(StatusCode.ERROR)
        span.end(ended)

    async def close(self, timeout: float) -> None:
        """Export the remaining spans in a daemon thread; drop them after `timeout` seconds."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed after the timeout
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="tracing", daemon=True).start()
        try:
            async with asyncio.timeout(timeout):
                await done.wait()
        except TimeoutError:
            log.warning("dropped the last spans: the collector does not answer")
            self._exporter.shutdown()


def _log_fields(span: trace.Span) -> dict[str, str]:
    """Return the ids by which a log line refers to its span."""
    context = span.get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def open_span_tracing(settings: TracingSettings, instance: str) -> SpanTracing:
    """Start tracing to the exporter of the settings; `instance` names this replica."""
    with temporary_environment(settings.variables):
        exporter = ConsoleSpanExporter() if settings.exporter == "console" else OTLPSpanExporter()
        return SpanTracing(exporter, resource_of(instance))


def resource_of(instance: str) -> Resource:
    """Describe this replica; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence."""
    own = {
        "service.name": PROGRAM,
        "service.version": version(PROGRAM),
        "service.instance.id": instance,
    }
    return Resource(own).merge(OTELResourceDetector().detect())


@contextmanager
def temporary_environment(variables: Mapping[str, SecretStr]) -> Iterator[None]:
    """Set environment variables for the SDK, which does not read `.env`, and restore them."""
    before = dict(os.environ)
    os.environ.update({name: value.get_secret_value() for name, value in variables.items()})
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def open_span(tracer: Tracer, name: str, kind: SpanKind) -> Iterator[trace.Span]:
    """Open a span; of an error it has only the type, because the text may quote anything."""
    with tracer.start_as_current_span(
        name, kind=kind, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except Exception as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def is_traced() -> bool:
    return trace.get_current_span().get_span_context().is_valid
