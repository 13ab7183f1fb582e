"""Spans: one trace per request, with the request's id, without confidential text."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.contextvars import get_contextvars

from bot.atlas import CallRecord
from bot.cancellation.request_context import new_request_id
from bot.tracing import Tracing, open_tracing
from bot.tracing.spans import REQUEST, SpanTracing
from tests.unit.tracing.conftest import Traced

SLACKS_SECRET = "xoxb-1-2-secret"


def trace_of(span: ReadableSpan) -> str:
    assert span.context
    return format(span.context.trace_id, "032x")


async def test_spans_of_a_request_share_a_trace_with_its_id(traced: Traced) -> None:
    request = new_request_id()
    for name in ("command", "post card"):  # as in two replicas: nothing leads from one to the other
        with traced.spans.trace(name, request):
            pass
    found = await traced.finished()

    assert [span.name for span in found] == ["command", "post card"]
    assert {trace_of(span) for span in found} == {request}
    assert {dict(span.attributes or {})[REQUEST] for span in found} == {request}


async def test_nested_span_is_a_child_of_the_same_request(traced: Traced) -> None:
    request = new_request_id()
    with traced.spans.trace("submission", request), traced.spans.trace("run", None):
        pass
    run, submission = await traced.finished()

    assert run.parent == submission.context
    assert dict(run.attributes or {}) == {REQUEST: request}


@pytest.mark.parametrize("request_id", [None, "request-1", "0" * 32, "F" * 32])
async def test_span_without_a_request_id_has_a_new_trace(
    traced: Traced, request_id: str | None
) -> None:
    with traced.spans.trace("event app_home_opened", request_id):
        pass
    (span,) = await traced.finished()

    assert len(trace_of(span).strip("0")) > 16
    assert trace_of(span) != "f" * 32


async def test_log_lines_have_the_ids_of_the_current_span(traced: Traced) -> None:
    request = new_request_id()
    with traced.spans.trace("run", request):
        bound = get_contextvars()
    (span,) = await traced.finished()

    assert span.context
    assert bound == {
        "request": request,
        "trace_id": request,
        "span_id": format(span.context.span_id, "016x"),
    }
    assert get_contextvars() == {}


async def test_exception_is_recorded_by_type_without_text(traced: Traced) -> None:
    with pytest.raises(ValueError, match="secret"), traced.spans.trace("run", None):
        raise ValueError(SLACKS_SECRET)
    (span,) = await traced.finished()

    assert (span.status.is_ok, span.status.description) == (False, "ValueError")
    assert SLACKS_SECRET not in span.to_json()


async def test_atlas_call_is_a_span_with_its_duration(traced: Traced) -> None:
    with traced.spans.trace("run", new_request_id()):
        traced.spans.record_atlas_call(
            CallRecord("DELETE", 204, 0.25, path="/api/atlas/v2/groups/1")
        )
    exchange, run = await traced.finished()

    assert exchange.start_time
    assert exchange.end_time
    assert exchange.name == "Atlas DELETE"
    assert exchange.parent == run.context
    assert exchange.end_time - exchange.start_time == 250_000_000
    assert dict(exchange.attributes or {}) | {REQUEST: ""} == {
        "http.request.method": "DELETE",
        "http.response.status_code": 204,
        "url.path": "/api/atlas/v2/groups/1",
        REQUEST: "",
    }


@pytest.mark.parametrize(
    ("answered", "ok"),
    [
        (CallRecord("GET", 200, 0.1), True),
        (CallRecord("GET", 401, 0.1, challenge=True), True),
        (CallRecord("GET", 401, 0.1), False),
        (CallRecord("GET", 503, 0.1), False),
        (CallRecord("GET", None, 0.1), False),
    ],
)
async def test_failed_atlas_call_has_an_error_status_and_a_challenge_has_not(
    traced: Traced, answered: CallRecord, ok: bool
) -> None:
    with traced.spans.trace("run", None):
        traced.spans.record_atlas_call(answered)
    exchange, _ = await traced.finished()

    assert exchange.status.is_ok is ok


async def test_atlas_call_outside_of_a_trace_has_no_span(traced: Traced) -> None:
    traced.spans.record_atlas_call(CallRecord("GET", 200, 0.1))

    assert await traced.finished() == ()


class Hanging(SpanExporter):
    """A collector that does not answer."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.stopped = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        del spans
        self.let_go.wait(10.0)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.stopped.set()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    exporter = Hanging()
    yield exporter
    exporter.let_go.set()


async def test_close_drops_spans_after_the_timeout(hanging: Hanging) -> None:
    spans = SpanTracing(hanging, Resource({}))
    with spans.trace("run", None):
        pass
    began = time.monotonic()
    await spans.close(0.1)

    assert 0.1 <= time.monotonic() - began < 5.0
    assert hanging.stopped.is_set()


async def test_disabled_tracing_binds_the_request_to_the_log() -> None:
    tracing = open_tracing(None, "replica-1")
    with tracing.trace("run", "r1"), tracing.slack_call("auth.test"):
        bound = get_contextvars()
    tracing.record_atlas_call(CallRecord("GET", 200, 0.1))
    await tracing.close(0.0)

    assert type(tracing) is Tracing
    assert bound == {"request": "r1"}


def test_opentelemetry_is_not_imported_without_tracing() -> None:
    wanted = "import sys, bot.cli; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    printed = subprocess.run(
        [sys.executable, "-P", "-c", wanted], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    assert printed == "[]\n"
