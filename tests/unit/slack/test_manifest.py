"""The manifest: Slack's rules, and the command, scopes and settings in it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.slack import ids

TEXT = Path("manifest.yml").read_text(encoding="utf-8")
MANIFEST: dict[str, Any] = yaml.safe_load(TEXT)

#: The keys that Slack accepts in the sections in use; it rejects a manifest with any other.
KNOWN = {
    "": {"_metadata", "display_information", "features", "oauth_config", "settings"},
    "_metadata": {"major_version", "minor_version"},
    "display_information": {"name", "description", "long_description", "background_color"},
    "features": {"app_home", "bot_user", "shortcuts", "slash_commands", "unfurl_domains"},
    "features.app_home": {
        "home_tab_enabled",
        "messages_tab_enabled",
        "messages_tab_read_only_enabled",
    },
    "features.bot_user": {"display_name", "always_online"},
    "oauth_config": {"redirect_urls", "scopes"},
    "oauth_config.scopes": {"bot", "bot_optional", "user", "user_optional"},
    "settings": {
        "allowed_ip_address_ranges",
        "event_subscriptions",
        "interactivity",
        "org_deploy_enabled",
        "socket_mode_enabled",
        "token_rotation_enabled",
    },
    "settings.event_subscriptions": {"bot_events", "request_url", "user_events"},
    "settings.interactivity": {"is_enabled", "request_url", "message_menu_options_url"},
}
COMMAND_KEYS = {"command", "description", "usage_hint", "should_escape", "url"}
SCOPES = [
    "commands",
    "chat:write",
    "chat:write.public",
    "users:read",
    "users:read.email",
    "usergroups:read",
    "channels:read",
    "groups:read",
]


def part(path: str, manifest: dict[str, Any] = MANIFEST) -> Any:
    for key in path.split(".") if path else []:
        manifest = manifest[key]
    return manifest


@pytest.mark.parametrize("section", KNOWN)
def test_section_has_only_keys_that_slack_knows(section: str) -> None:
    assert set(part(section)) - KNOWN[section] == set()


@pytest.mark.parametrize(
    ("path", "least", "most"),
    [
        ("display_information.name", 1, 35),
        ("display_information.description", 1, 140),
        ("display_information.long_description", 175, 4000),
        ("features.bot_user.display_name", 1, 80),
    ],
)
def test_text_has_a_length_that_slack_accepts(path: str, least: int, most: int) -> None:
    assert least <= len(part(path)) <= most


def test_background_color_is_valid() -> None:
    assert re.fullmatch(r"#[0-9a-f]{6}", part("display_information.background_color"))


def test_command_is_declared() -> None:
    (command,) = part("features.slash_commands")

    assert set(command) <= COMMAND_KEYS
    assert command["command"] == "/cancel-restore"
    assert command["usage_hint"] == "[CLUSTER] [JOB_ID] | list | history | help"
    assert command["should_escape"] is False


def test_message_shortcut_is_declared() -> None:
    (shortcut,) = part("features.shortcuts")

    assert shortcut == {
        "name": "Cancel this restore",
        "type": "message",
        "callback_id": ids.SHORTCUT,
        "description": "Finds the restore job that a message names",
    }
    assert len(shortcut["name"]) <= 24


def test_home_tab_and_messages_tab_are_enabled() -> None:
    assert part("features.app_home") == {
        "home_tab_enabled": True,
        "messages_tab_enabled": True,
        "messages_tab_read_only_enabled": False,
    }


def test_scopes_are_exactly_these() -> None:
    optional = ["chat:write.public", "usergroups:read", "users:read.email", "groups:read"]

    assert part("oauth_config.scopes") == {"bot": SCOPES, "bot_optional": optional}


@pytest.mark.parametrize("scope", SCOPES)
def test_scope_has_its_reason_above_it(scope: str) -> None:
    lines = [line.strip() for line in TEXT.splitlines()]

    assert lines[lines.index(f"- {scope}") - 1].startswith("# ")


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
    manifest = yaml.safe_load(text)
    address = "https://YOUR-HOST/slack/events"

    assert part("features.slash_commands", manifest)[0]["url"] == address
    assert part("settings.event_subscriptions.request_url", manifest) == address
    assert part("settings.interactivity", manifest) == {
        "is_enabled": True,
        "request_url": address,
        "message_menu_options_url": address,
    }
    assert part("settings.socket_mode_enabled", manifest) is False


def test_comment_names_the_number_of_http_lines() -> None:
    assert TEXT.count("# HTTP: ") == 4
    assert 'the four lines marked "HTTP:"' in " ".join(TEXT.replace("#", "").split())
