"""`cancel-restore manifest`: the file in the sources, also for another command."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from bot.cli.main import app
from bot.slack.manifest import PATH


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["manifest", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_manifest_without_a_url_equals_the_file() -> None:
    """To write the file anew: cancel-restore manifest > manifest.yml."""
    assert run() == (0, Path("manifest.yml").read_text(encoding="utf-8"), "")


def test_manifest_for_http_has_the_address_at_each_endpoint() -> None:
    code, out, _ = run("--http", "https://bot.example.com:8443")

    assert (code, out.count("\n  socket_mode_enabled: false\n")) == (0, 1)
    assert out.count(f"url: https://bot.example.com:8443{PATH}\n") == 3


@pytest.mark.parametrize(
    "given", ["", "http://bot.example.com", "https://", "https://x?x=1", "https://x\nsettings: {}"]
)
def test_address_that_slack_rejects_is_wrong_usage(given: str) -> None:
    code, out, err = run("--http", given)

    assert (code, out) == (2, "")
    assert "https://bot.example.com" in err


def test_given_command_is_declared_and_named() -> None:
    _, out, _ = run("--command", "/cancel-eu")

    assert yaml.safe_load(out)["features"]["slash_commands"][0]["command"] == "/cancel-eu"
    assert "/cancel-restore" not in out


@pytest.mark.parametrize("given", ["cancel-eu", "/Cancel", "/cancel eu", "/", "/x\nurl: y"])
def test_command_that_slack_rejects_is_wrong_usage(given: str) -> None:
    code, out, err = run("--command", given)

    assert (code, out) == (2, "")
    assert err.startswith("--command must be a slash")
