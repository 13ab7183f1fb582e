"""Instruments SQLAlchemy and aiohttp: a span per transaction and per call of Slack's Web API.

A span has the verbs and tables of its statements, or the name of the Slack method; never a value.
Work outside of a trace gets no span.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from aiohttp import (
    ClientSession,
    TraceConfig,
    TraceRequestEndParams,
    TraceRequestExceptionParams,
    TraceRequestStartParams,
)
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext

#: Key of the transaction in the information of its connection.
TRANSACTION = "cancel_restore.span"

_VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+(\w+)")


class Transaction:
    """The span of one transaction, and a summary of its statements."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self._summaries: list[str] = []

    def add(self, statement: str) -> None:
        if (summary := summarize(statement)) and summary not in self._summaries:
            self._summaries.append(summary)

    def end(self) -> None:
        self.span.set_attribute("db.query.summary", "; ".join(self._summaries))
        self.span.end()


def instrument_engine(engine: Engine, tracer: Tracer) -> None:
    """Trace the transactions of `engine`."""

    def on_begin(connection: Connection) -> None:
        if is_traced():
            attributes = {"db.system.name": connection.dialect.name}
            span = tracer.start_span("ledger", kind=SpanKind.CLIENT, attributes=attributes)
            connection.info[TRANSACTION] = Transaction(span)

    # Before the listener that sends BEGIN: waiting for the write lock is part of the span.
    event.listen(engine, "begin", on_begin, insert=True)
    event.listen(engine, "before_cursor_execute", _on_execute)
    event.listen(engine, "handle_error", _on_error)
    # At check-in the commit has ended.
    event.listen(engine, "checkin", _on_checkin)


def summarize(statement: str) -> str:
    """Return the verb and the table of a statement, or nothing without a table (pure)."""
    verb, table = _VERB.match(statement), _TABLE.search(statement)
    return f"{verb[1]} {table[1]}" if verb and table else ""


def slack_trace_config(api_url: str, tracer: Tracer) -> TraceConfig:
    """Trace the calls to `api_url`; no others, because a `response_url` is a credential."""
    config = TraceConfig()

    async def on_start(
        _session: ClientSession, call: SimpleNamespace, params: TraceRequestStartParams
    ) -> None:
        call.span = None
        if is_traced() and str(params.url).startswith(api_url):
            method = params.url.path.rpartition("/")[2]
            call.span = tracer.start_span(f"Slack {method}", kind=SpanKind.CLIENT)

    config.on_request_start.append(on_start)
    config.on_request_end.append(_on_response)
    config.on_request_exception.append(_on_exception)
    return config


def is_traced() -> bool:
    """Whether the current task runs within a span."""
    return trace.get_current_span().get_span_context().is_valid


def _on_execute(connection: Connection, _cursor: object, statement: str, *_values: Any) -> None:  # noqa: ANN401 - bound values of any type
    if transaction := connection.info.get(TRANSACTION):
        transaction.add(statement)


def _on_error(context: ExceptionContext) -> None:
    transaction = context.connection.info.get(TRANSACTION) if context.connection else None
    if transaction:
        transaction.span.set_status(StatusCode.ERROR, type(context.original_exception).__name__)


def _on_checkin(_connection: object, record: Any) -> None:  # noqa: ANN401 - the pool's own type
    if transaction := record.info.pop(TRANSACTION, None):
        transaction.end()


async def _on_response(
    _session: ClientSession, call: SimpleNamespace, params: TraceRequestEndParams
) -> None:
    if call.span:
        call.span.set_attribute("http.response.status_code", params.response.status)
        call.span.end()


async def _on_exception(
    _session: ClientSession, call: SimpleNamespace, params: TraceRequestExceptionParams
) -> None:
    if call.span:
        call.span.set_status(StatusCode.ERROR, type(params.exception).__name__)
        call.span.end()
