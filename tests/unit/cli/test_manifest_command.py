"""`cancel-restore manifest`: the file in the sources, or the same for HTTP at an address."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from bot.cli.main import app
from bot.slack.manifest import AddressError, events_address, manifest

EVENTS = "https://bot.example.com/slack/events"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["manifest", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_manifest_without_a_url_equals_the_file() -> None:
    """To write the file anew: cancel-restore manifest > manifest.yml."""
    assert run() == (0, Path("manifest.yml").read_text(encoding="utf-8"), "")


def test_manifest_with_a_url_has_it_at_every_endpoint() -> None:
    code, out, _ = run("--http", "https://bot.example.com")

    assert (code, out) == (0, manifest("https://bot.example.com"))
    assert out.count(EVENTS) == 3


def test_comments_for_http_in_the_file_make_the_manifest_for_http() -> None:
    text = Path("manifest.yml").read_text(encoding="utf-8")
    changed = text.replace("# HTTP: ", "").replace("mode_enabled: true", "mode_enabled: false")

    assert yaml.safe_load(changed) == yaml.safe_load(manifest("https://YOUR-HOST"))
    assert text.count("# HTTP: ") == 3
    assert 'the three lines marked "HTTP:"' in " ".join(text.replace("#", "").split())


@pytest.mark.parametrize(
    ("given", "events"),
    [
        ("https://bot.example.com", EVENTS),
        ("https://bot.example.com/", EVENTS),
        (" https://bot.example.com/slack/events/ ", EVENTS),
        ("https://example.com:8443/bot", "https://example.com:8443/bot/slack/events"),
    ],
)
def test_url_with_or_without_the_events_path_is_accepted(given: str, events: str) -> None:
    assert events_address(given) == events


@pytest.mark.parametrize(
    "given",
    [
        "",
        "bot.example.com",
        "http://bot.example.com",
        "https://",
        "https://me:secret@bot.example.com",
        "https://bot.example.com?x=1",
        "https://bot.example.com #",
        "https://bot.example.com/\nsettings: {}",
        "https://bot.example.com:http",
    ],
)
def test_url_that_slack_rejects_is_wrong_usage(given: str) -> None:
    with pytest.raises(AddressError):
        events_address(given)
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
