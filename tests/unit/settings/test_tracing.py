"""Settings of tracing: off by default, rejected without the extra, headers kept secret."""

import sys
from pathlib import Path

import pytest

from tests.support.settings import ENOUGH, load, problems


@pytest.mark.parametrize("given", [{}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_tracing_is_off_by_default(tmp_path: Path, given: dict[str, str]) -> None:
    assert load(tmp_path, OTEL_SERVICE_NAME="bot", **given).tracing is None


def test_every_variable_of_opentelemetry_is_kept_for_its_sdk(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OTEL_SERVICE_NAME=of-env\n", encoding="utf-8")
    tracing = load(tmp_path, OTEL_TRACES_EXPORTER="otlp", OTEL_BSP_SCHEDULE_DELAY="100").tracing

    assert tracing
    assert tracing.exporter == "otlp"
    assert {name: value.get_secret_value() for name, value in tracing.variables.items()} == {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_SERVICE_NAME": "of-env",
    }


def test_values_of_collector_headers_are_secrets_but_not_their_names(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_HEADERS="x-key=one-secret,authorization=Bearer%20two-secret==",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS="x-key=three-secret,a-key-without-a-name",
    )
    secrets = {secret.get_secret_value() for secret in settings.secrets}

    assert secrets - {value for name, value in ENOUGH.items() if "PUBLIC" not in name} == {
        "one-secret",
        "Bearer two-secret==",
        "two-secret==",
        "three-secret",
        "a-key-without-a-name",
    }
    assert "one-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "must be one of otlp, console, none"),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "must be http/protobuf, the only one that the extra otel supports",
        ),
    ],
)
def test_unsupported_tracing_setting_is_rejected(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    assert problems(tmp_path, **{name: value}) == (f"{name} {sentence}",)


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto"])
def test_tracing_without_the_extra_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Another program may have brought a part of OpenTelemetry."""
    for module in [name for name in sys.modules if name.startswith(missing)]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)

    assert problems(tmp_path, OTEL_TRACES_EXPORTER="console") == (
        (
            "OTEL_TRACES_EXPORTER needs OpenTelemetry, which is not installed: "
            "install the bot with its extra otel, as in pip install '.[otel]'"
        ),
    )
