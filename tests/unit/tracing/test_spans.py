"""Spans: one trace a request, by the request's own id, and nothing that is nobody's business."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.contextvars import get_contextvars

from bot.atlas import CallRecord
from bot.cancellation.request_context import new_request_id
from bot.tracing import Untraced, open_tracing
from bot.tracing.spans import REQUEST, Spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from tests.unit.tracing.conftest import Traced

SLACKS_SECRET = "xoxb-1-2-secret"


def trace_of(span: ReadableSpan) -> str:
    assert span.context
    return format(span.context.trace_id, "032x")


async def test_all_that_is_done_for_a_request_is_in_one_trace_with_the_requests_id(
    traced: Traced,
) -> None:
    request = new_request_id()
    for name in ("command", "post card"):  # as in two replicas: nothing leads from one to the other
        with traced.spans.trail(name, request):
            pass
    found = await traced.handed_over()

    assert [span.name for span in found] == ["command", "post card"]
    assert {trace_of(span) for span in found} == {request}
    assert {dict(span.attributes or {})[REQUEST] for span in found} == {request}


async def test_what_is_done_within_something_is_its_child_and_of_the_same_request(
    traced: Traced,
) -> None:
    request = new_request_id()
    with traced.spans.trail("submission", request), traced.spans.trail("run", None):
        pass
    run, submission = await traced.handed_over()

    assert run.parent == submission.context
    assert dict(run.attributes or {}) == {REQUEST: request}


@pytest.mark.parametrize("request_id", [None, "request-1", "0" * 32, "F" * 32])
async def test_what_has_no_id_of_a_request_has_a_trace_of_its_own(
    traced: Traced, request_id: str | None
) -> None:
    with traced.spans.trail("event app_home_opened", request_id):
        pass
    (span,) = await traced.handed_over()

    assert len(trace_of(span).strip("0")) > 16
    assert trace_of(span) != "f" * 32


async def test_lines_of_the_log_have_the_ids_of_their_span_and_only_meanwhile(
    traced: Traced,
) -> None:
    request = new_request_id()
    with traced.spans.trail("run", request):
        bound = get_contextvars()
    (span,) = await traced.handed_over()

    assert span.context
    assert bound == {
        "request": request,
        "trace_id": request,
        "span_id": format(span.context.span_id, "016x"),
    }
    assert get_contextvars() == {}


async def test_of_an_exception_the_type_is_told_and_never_the_text(traced: Traced) -> None:
    with pytest.raises(ValueError, match="secret"), traced.spans.trail("run", None):
        raise ValueError(SLACKS_SECRET)
    (span,) = await traced.handed_over()

    assert (span.status.is_ok, span.status.description) == (False, "ValueError")
    assert SLACKS_SECRET not in span.to_json()


async def test_an_exchange_with_atlas_is_a_span_of_its_own_length(traced: Traced) -> None:
    with traced.spans.trail("run", new_request_id()):
        traced.spans.answered(CallRecord("DELETE", 204, 0.25, path="/api/atlas/v2/groups/1"))
    exchange, run = await traced.handed_over()

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
async def test_what_atlas_refuses_or_does_not_answer_is_an_error_and_a_challenge_is_none(
    traced: Traced, answered: CallRecord, ok: bool
) -> None:
    with traced.spans.trail("run", None):
        traced.spans.answered(answered)
    exchange, _ = await traced.handed_over()

    assert exchange.status.is_ok is ok


async def test_what_only_looks_for_something_to_do_is_not_traced(traced: Traced) -> None:
    traced.spans.answered(CallRecord("GET", 200, 0.1))

    assert await traced.handed_over() == ()


class Hanging(SpanExporter):
    """Whoever collects, and does not answer."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.told_to_end = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        del spans
        self.let_go.wait(10.0)
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.told_to_end.set()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    exporter = Hanging()
    yield exporter
    exporter.let_go.set()


async def test_the_end_waits_for_no_collector_beyond_its_time(hanging: Hanging) -> None:
    spans = Spans(hanging, Resource({}))
    with spans.trail("run", None):
        pass
    began = time.monotonic()
    await spans.close(0.1)

    assert 0.1 <= time.monotonic() - began < 5.0
    assert hanging.told_to_end.is_set()


async def test_tracing_that_is_off_follows_in_the_log_alone() -> None:
    tracing = open_tracing(None, "replica-1")
    with tracing.trail("run", "r1"):
        bound = get_contextvars()
    tracing.answered(CallRecord("GET", 200, 0.1))
    await tracing.close(0.0)

    assert isinstance(tracing, Untraced)
    assert bound == {"request": "r1"}
    assert tracing.slack_calls("https://slack.com/api/") == []


def test_without_tracing_nothing_of_opentelemetry_is_imported() -> None:
    wanted = "import sys, bot.cli; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    printed = subprocess.run(
        [sys.executable, "-P", "-c", wanted], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    assert printed == "[]\n"
