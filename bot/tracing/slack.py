"""Makes a span of each call of Slack's Web API, by the name of its method and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import TraceConfig
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

if TYPE_CHECKING:
    from types import SimpleNamespace

    from aiohttp import (
        ClientSession,
        TraceRequestEndParams,
        TraceRequestExceptionParams,
        TraceRequestStartParams,
    )
    from opentelemetry.trace import Tracer


def calls_to(api_url: str, tracer: Tracer) -> TraceConfig:
    """Trace the calls to `api_url` that belong to something that is traced.

    Whatever else the session calls is left out: a `response_url` is as good as a token.
    """
    config = TraceConfig()

    async def started(
        _session: ClientSession, call: SimpleNamespace, params: TraceRequestStartParams
    ) -> None:
        url = str(params.url)
        traced = trace.get_current_span().get_span_context().is_valid
        call.span = None
        if traced and url.startswith(api_url):
            method = params.url.path.rpartition("/")[2]
            call.span = tracer.start_span(f"Slack {method}", kind=SpanKind.CLIENT)

    config.on_request_start.append(started)
    config.on_request_end.append(_ended)
    config.on_request_exception.append(_failed)
    return config


async def _ended(
    _session: ClientSession, call: SimpleNamespace, params: TraceRequestEndParams
) -> None:
    if call.span:
        call.span.set_attribute("http.response.status_code", params.response.status)
        call.span.end()


async def _failed(
    _session: ClientSession, call: SimpleNamespace, params: TraceRequestExceptionParams
) -> None:
    if call.span:
        call.span.set_status(StatusCode.ERROR, type(params.exception).__name__)
        call.span.end()
