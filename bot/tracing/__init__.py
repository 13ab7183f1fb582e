"""Traces requests with OpenTelemetry if that is set up; otherwise none of it is imported."""

from contextlib import AbstractContextManager, nullcontext

from bot.atlas import CallRecord
from bot.cancellation.request_context import bind_to_log
from bot.settings import TracingSettings

__all__ = ["Tracing", "TracingError", "open_tracing"]


class TracingError(Exception):
    """OpenTelemetry rejected its settings; the text says which and why."""


class Tracing:
    """Tracing that is off: requests are bound to the log only. `SpanTracing` overrides it."""

    def trace(self, name: str, request: str | None, /) -> AbstractContextManager[None]:
        """Trace work for a request; see `bot.cancellation.request_context.RequestTracer`."""
        return bind_to_log(name, request)

    def record_atlas_call(self, call: CallRecord) -> None:
        """Record an exchange with Atlas, in the task that made it."""

    def slack_call(self, method: str) -> AbstractContextManager[object]:  # noqa: ARG002 - see SpanTracing
        """Trace a call of a method of Slack's Web API."""
        return nullcontext()

    async def close(self, timeout: float) -> None:
        """Export the remaining spans within `timeout` seconds, or drop them."""


def open_tracing(settings: TracingSettings | None, instance: str) -> Tracing:
    """Start tracing as set up; `instance` names this replica. Raises `TracingError`."""
    if settings is None:
        return Tracing()
    from bot.tracing.spans import open_span_tracing  # noqa: PLC0415 - an optional dependency

    try:
        return open_span_tracing(settings, instance)
    except (ValueError, OSError) as error:
        raise TracingError(
            f"OpenTelemetry does not take its settings ({error}): check the OTEL_ variables."
        ) from error
