"""Follows requests in spans, where that is wanted; where it is not, nothing of it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bot.cancellation.request_context import bind_to_log

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from aiohttp import TraceConfig
    from sqlalchemy import Engine

    from bot.atlas import CallRecord
    from bot.settings import TracingSettings

__all__ = ["Tracing", "TracingError", "Untraced", "open_tracing"]


class TracingError(Exception):
    """OpenTelemetry does not take its settings; the text says which and why."""


class Tracing(Protocol):
    """What the composition root hangs in where something is to be followed."""

    def trail(self, name: str, request: str | None, /) -> AbstractContextManager[None]:
        """Follow what is done for a request; see `bot.cancellation.request_context`."""

    def answered(self, answered: CallRecord) -> None:
        """Hear of an exchange with Atlas, in the task that had it."""

    def follow_ledger(self, engine: Engine) -> None:
        """Follow the transactions of the ledger."""

    def slack_calls(self, api_url: str) -> list[TraceConfig]:
        """Return what follows the calls of Slack's Web API, for the session that makes them."""

    async def close(self, seconds: float) -> None:
        """Hand over what is still held; after `seconds` at most it is given up."""


class Untraced:
    """No spans: requests are followed in the log alone."""

    def trail(self, name: str, request: str | None, /) -> AbstractContextManager[None]:
        return bind_to_log(name, request)

    def answered(self, answered: CallRecord) -> None:
        pass

    def follow_ledger(self, engine: Engine) -> None:
        pass

    def slack_calls(self, api_url: str) -> list[TraceConfig]:  # noqa: ARG002 - as in the Protocol
        return []

    async def close(self, seconds: float) -> None:
        pass


def open_tracing(settings: TracingSettings | None, instance: str) -> Tracing:
    """Begin to trace as `settings` say; `instance` names this replica.

    Raises:
        TracingError: the SDK does not take one of its variables.
    """
    if settings is None:
        return Untraced()
    from bot.tracing.export import exporting  # noqa: PLC0415 - the extra may not be installed

    try:
        return exporting(settings, instance)
    except (ValueError, OSError) as error:
        raise TracingError(
            f"OpenTelemetry does not take its settings ({error}): check the OTEL_ variables."
        ) from error
