"""The exporter of spans: the SDK's own variables apply, those of `.env` too."""

import os
from typing import Literal

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
from pydantic import SecretStr
from structlog.contextvars import get_contextvars

from bot.settings import TracingSettings
from bot.tracing import TracingError, open_tracing
from bot.tracing.spans import SpanTracing, resource_of, temporary_environment


@pytest.mark.parametrize(
    ("exporter", "kind"), [("otlp", OTLPSpanExporter), ("console", ConsoleSpanExporter)]
)
async def test_exporter_is_chosen_by_the_settings(
    exporter: Literal["otlp", "console"], kind: type
) -> None:
    tracing = open_tracing(TracingSettings(exporter=exporter, variables={}), "replica-1")
    await tracing.close(1.0)

    assert isinstance(tracing, SpanTracing)
    assert isinstance(tracing._exporter, kind)


async def test_variables_reach_the_sdk_and_are_removed_again() -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": SecretStr("http://127.0.0.1:9/x")}
    tracing = open_tracing(TracingSettings(exporter="otlp", variables=variables), "replica-1")
    await tracing.close(1.0)

    assert isinstance(tracing, SpanTracing)
    assert isinstance(tracing._exporter, OTLPSpanExporter)
    assert tracing._exporter._endpoint == "http://127.0.0.1:9/x/v1/traces"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in os.environ


async def test_setting_rejected_by_the_sdk_is_reported_with_its_reason() -> None:
    variables = {"OTEL_BSP_MAX_QUEUE_SIZE": SecretStr("0")}
    settings = TracingSettings(exporter="console", variables=variables)
    with pytest.raises(TracingError) as caught:
        open_tracing(settings, "replica-1")

    assert str(caught.value) == (
        "OpenTelemetry does not take its settings "
        "(max_queue_size must be a positive integer.): check the OTEL_ variables."
    )


async def test_otel_sdk_disabled_turns_spans_off() -> None:
    variables = {"OTEL_SDK_DISABLED": SecretStr("true")}
    settings = TracingSettings(exporter="console", variables=variables)
    tracing = open_tracing(settings, "replica-1")
    with tracing.trace("run", "r1"):
        bound = get_contextvars()
    await tracing.close(1.0)

    assert bound == {"request": "r1"}


def test_temporary_environment_restores_the_previous_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "before")
    with temporary_environment({"OTEL_SERVICE_NAME": SecretStr("meanwhile")}):
        meanwhile = os.environ["OTEL_SERVICE_NAME"]

    assert (meanwhile, os.environ["OTEL_SERVICE_NAME"]) == ("meanwhile", "before")


def test_resource_describes_the_replica_unless_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = resource_of("replica-1").attributes
    monkeypatch.setenv("OTEL_SERVICE_NAME", "the-name-here")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    theirs = resource_of("replica-1").attributes

    assert (attributes["service.name"], attributes["service.instance.id"]) == (
        "cancel-restore",
        "replica-1",
    )
    assert theirs["service.name"] == "the-name-here"
    assert theirs["deployment.environment.name"] == "prod"
