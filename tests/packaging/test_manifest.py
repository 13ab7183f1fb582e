"""The manifest of the Slack app is valid by Slack's schema, and declares what the code uses."""

import json
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

from bot.doctor import slack as doctor

SCHEMA = json.loads(Path("tests/data/slack-manifest.schema.json").read_text(encoding="utf-8"))
MANIFEST: dict[str, Any] = yaml.safe_load(Path("manifest.yml").read_text(encoding="utf-8"))
SCOPES = MANIFEST["oauth_config"]["scopes"]


def test_manifest_is_valid_by_slacks_schema() -> None:
    faults = [error.message for error in Draft7Validator(SCHEMA).iter_errors(MANIFEST)]

    assert faults == []


def test_mistyped_key_of_a_manifest_is_found() -> None:
    assert list(Draft7Validator(SCHEMA).iter_errors({**MANIFEST, "setings": {}}))


def test_app_has_one_command_and_socket_mode_and_no_events() -> None:
    settings, features = MANIFEST["settings"], MANIFEST["features"]

    assert [item["command"] for item in features["slash_commands"]] == ["/cancel-restore"]
    assert settings["socket_mode_enabled"] is True
    assert settings["interactivity"] == {"is_enabled": True}
    assert "event_subscriptions" not in settings
    assert features["app_home"]["home_tab_enabled"] is False
    assert "shortcuts" not in features


def test_scopes_are_those_that_the_code_uses_and_what_it_always_needs_is_not_optional() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("bot/slack", "bot/doctor")
        for path in Path(folder).glob("*.py")
    )
    optional = set(SCOPES["bot_optional"])

    assert [scope for scope in SCOPES["bot"] if f'"{scope}"' not in source] == []
    assert set(SCOPES["bot"]) - optional == set(doctor.NEEDED)
    assert optional <= set(SCOPES["bot"])
