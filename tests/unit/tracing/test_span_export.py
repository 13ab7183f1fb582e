"""Where spans go: the SDK's own variables hold, those of `.env` too."""

from __future__ import annotations

import os
from typing import Literal

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
from pydantic import SecretStr
from structlog.contextvars import get_contextvars

from bot.settings import TracingSettings
from bot.tracing import TracingError, open_tracing
from bot.tracing.export import lent, resource
from bot.tracing.spans import Spans


@pytest.mark.parametrize(
    ("exporter", "kind"), [("otlp", OTLPSpanExporter), ("console", ConsoleSpanExporter)]
)
async def test_the_exporter_is_the_one_that_is_set(
    exporter: Literal["otlp", "console"], kind: type
) -> None:
    tracing = open_tracing(TracingSettings(exporter=exporter, variables={}), "replica-1")
    await tracing.close(1.0)

    assert isinstance(tracing, Spans)
    assert isinstance(tracing._exporter, kind)


async def test_variables_of_env_reach_the_sdk_and_stay_nowhere() -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": SecretStr("http://127.0.0.1:9/x")}
    tracing = open_tracing(TracingSettings(exporter="otlp", variables=variables), "replica-1")
    await tracing.close(1.0)

    assert isinstance(tracing, Spans)
    assert isinstance(tracing._exporter, OTLPSpanExporter)
    assert tracing._exporter._endpoint == "http://127.0.0.1:9/x/v1/traces"
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in os.environ


async def test_what_the_sdk_does_not_take_is_told_with_its_reason() -> None:
    variables = {"OTEL_BSP_MAX_QUEUE_SIZE": SecretStr("0")}
    settings = TracingSettings(exporter="console", variables=variables)

    with pytest.raises(TracingError) as caught:
        open_tracing(settings, "replica-1")

    assert str(caught.value) == (
        "OpenTelemetry does not take its settings "
        "(max_queue_size must be a positive integer.): check the OTEL_ variables."
    )


async def test_the_switch_that_the_sdk_has_for_everything_works() -> None:
    variables = {"OTEL_SDK_DISABLED": SecretStr("true")}
    settings = TracingSettings(exporter="console", variables=variables)
    tracing = open_tracing(settings, "replica-1")
    with tracing.trail("run", "r1"):
        bound = get_contextvars()
    await tracing.close(1.0)

    assert bound == {"request": "r1"}


def test_a_variable_that_is_lent_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "before")
    with lent({"OTEL_SERVICE_NAME": SecretStr("meanwhile")}):
        meanwhile = os.environ["OTEL_SERVICE_NAME"]

    assert (meanwhile, os.environ["OTEL_SERVICE_NAME"]) == ("meanwhile", "before")


def test_the_replica_says_who_it_is_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = resource("replica-1").attributes
    monkeypatch.setenv("OTEL_SERVICE_NAME", "the-name-here")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    theirs = resource("replica-1").attributes

    assert (ours["service.name"], ours["service.instance.id"]) == ("cancel-restore", "replica-1")
    assert theirs["service.name"] == "the-name-here"
    assert theirs["deployment.environment.name"] == "prod"
