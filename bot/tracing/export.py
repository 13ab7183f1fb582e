"""Hands spans over to a collector, or prints them, as the variables of OpenTelemetry say."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace.export import ConsoleSpanExporter

from bot.tracing.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import SecretStr

    from bot.settings import TracingSettings

PROGRAM = "cancel-restore"


def exporting(settings: TracingSettings, instance: str) -> Spans:
    """Begin to trace; `instance` names this replica."""
    with lent(settings.variables):
        exporter = ConsoleSpanExporter() if settings.exporter == "console" else OTLPSpanExporter()
        return Spans(exporter, resource(instance))


def resource(instance: str) -> Resource:
    """Say who traces; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes first."""
    ours = {
        "service.name": PROGRAM,
        "service.version": version(PROGRAM),
        "service.instance.id": instance,
    }
    return Resource(ours).merge(OTELResourceDetector().detect())


@contextmanager
def lent(variables: Mapping[str, SecretStr]) -> Iterator[None]:
    """Set variables for a while: the SDK reads them by itself, and knows nothing of `.env`."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update({name: value.get_secret_value() for name, value in variables.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
