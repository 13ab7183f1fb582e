"""The manifest: Slack's rules, and the command, scopes and settings in it."""

import re
from pathlib import Path
from typing import Any

import yaml

from bot.slack.manifest import OPTIONAL_SCOPES, SCOPES, manifest

TEXT = Path("manifest.yml").read_text(encoding="utf-8")
MANIFEST: dict[str, Any] = yaml.safe_load(TEXT)


def part(path: str) -> Any:
    found: Any = MANIFEST
    for key in path.split("."):
        found = found[key]
    return found


def test_background_color_is_valid() -> None:
    assert re.fullmatch(r"#[0-9a-f]{6}", part("display_information.background_color"))


def test_command_is_declared() -> None:
    (command,) = part("features.slash_commands")

    assert command["command"] == "/cancel-restore"
    assert command["usage_hint"] == "[CLUSTER] [JOB_ID] | list | history | help"
    assert command["should_escape"] is False


def test_home_tab_and_messages_tab_are_enabled() -> None:
    assert part("features.app_home") == {
        "home_tab_enabled": True,
        "messages_tab_enabled": True,
        "messages_tab_read_only_enabled": False,
    }


def test_scopes_are_exactly_these() -> None:
    assert part("oauth_config.scopes") == {"bot": [*SCOPES], "bot_optional": [*OPTIONAL_SCOPES]}


def test_settings_are_those_of_socket_mode() -> None:
    assert part("settings") == {
        "event_subscriptions": {"bot_events": ["app_home_opened"]},
        "interactivity": {"is_enabled": True},
        "org_deploy_enabled": False,
        "socket_mode_enabled": True,
        "token_rotation_enabled": False,
    }


def test_comments_for_http_make_a_manifest_for_http() -> None:
    text = TEXT.replace("# HTTP: ", "").replace(
        "socket_mode_enabled: true", "socket_mode_enabled: false"
    )

    assert yaml.safe_load(text) == yaml.safe_load(manifest("https://YOUR-HOST"))


def test_comment_names_the_number_of_http_lines() -> None:
    assert TEXT.count("# HTTP: ") == 3
    assert 'the three lines marked "HTTP:"' in " ".join(TEXT.replace("#", "").split())
