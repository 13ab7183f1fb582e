"""Makes a span of each transaction of the ledger: which tables it touched, and never a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import event

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import ExceptionContext

#: Where a connection keeps its span.
SPAN = "cancel_restore.span"

_VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
_NAME = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+(\w+)")


def follow(engine: Engine, tracer: Tracer) -> None:
    """Trace the transactions of `engine` that belong to something that is traced."""

    def begun(connection: Connection) -> None:
        if trace.get_current_span().get_span_context().is_valid:
            system = connection.dialect.name
            connection.info[SPAN] = Transaction(
                tracer.start_span(
                    "ledger", kind=SpanKind.CLIENT, attributes={"db.system.name": system}
                )
            )

    # Before the listener that begins in fact: waiting for the turn to write is part of it.
    event.listen(engine, "begin", begun, insert=True)
    event.listen(engine, "before_cursor_execute", _ran)
    event.listen(engine, "handle_error", _failed)
    # The commit itself is over when the connection is given back.
    event.listen(engine, "checkin", _ended)


class Transaction:
    """One transaction's span, and what was done in it."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self._done: list[str] = []

    def ran(self, statement: str) -> None:
        if (done := summary(statement)) and done not in self._done:
            self._done.append(done)

    def end(self) -> None:
        self.span.set_attribute("db.query.summary", "; ".join(self._done))
        self.span.end()


def summary(statement: str) -> str:
    """Say what a statement does, and to which table; nothing for one that has no table (pure)."""
    verb, name = _VERB.match(statement), _NAME.search(statement)
    return f"{verb[1]} {name[1]}" if verb and name else ""


def _ran(connection: Connection, _cursor: object, statement: str, *_values: Any) -> None:  # noqa: ANN401 - values of any shape
    if transaction := connection.info.get(SPAN):
        transaction.ran(statement)


def _failed(context: ExceptionContext) -> None:
    transaction = context.connection.info.get(SPAN) if context.connection else None
    if transaction:
        transaction.span.set_status(StatusCode.ERROR, type(context.original_exception).__name__)


def _ended(_connection: object, record: Any) -> None:  # noqa: ANN401 - the pool's own
    if transaction := record.info.pop(SPAN, None):
        transaction.end()
