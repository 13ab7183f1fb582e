"""The manifest is valid by Slack's schema, and declares exactly what the code uses."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from bot.sandbox.slack.web_api.methods import METHODS
from bot.slack.bolt_app import EVENTS, SHORTCUTS
from bot.slack.deployment import command
from bot.slack.manifest import SCOPES, manifest

SCHEMA = json.loads(Path("tests/data/slack-manifest.schema.json").read_text(encoding="utf-8"))

#: One of these scopes is needed for each called method, by Slack's page of the method.
#: Pages as of 2026-08; the app token's scope connections:write is in no manifest.
NEEDS: dict[str, set[str]] = {
    "apps.connections.open": set(),
    "auth.test": set(),
    "blocks.validate": set(),
    "bots.info": {"users:read"},
    "chat.postEphemeral": {"chat:write"},
    "chat.postMessage": {"chat:write"},
    "chat.update": {"chat:write"},
    "conversations.info": {"channels:read", "groups:read", "im:read", "mpim:read"},
    "usergroups.users.list": {"usergroups:read"},
    "users.info": {"users:read"},
    "users.lookupByEmail": {"users:read.email"},
    "views.open": set(),
    "views.publish": set(),
    "views.update": set(),
}
#: Scopes that no method names, but that a part of the manifest or a use of a method wants.
BESIDES = {
    "commands",  # the slash command and the shortcut
    "users:read.email",  # users.info leaves the address out without it
    "chat:write.public",  # chat.postMessage where the bot was not invited
}


def both() -> list[dict[str, Any]]:
    """Return the manifest for Socket Mode, and for HTTP."""
    http = manifest(address="https://bot.example.com")
    return [yaml.safe_load(manifest()), yaml.safe_load(http)]


@pytest.mark.parametrize("given", both(), ids=["socket-mode", "http"])
def test_manifest_is_valid_by_slacks_schema(given: dict[str, Any]) -> None:
    faults = [error.message for error in Draft7Validator(SCHEMA).iter_errors(given)]

    assert faults == []


def called() -> set[str]:
    """Return the methods of Slack that the code calls: `client.chat_update` is `chat.update`."""
    known = {name.replace(".", "_"): name for name in METHODS} | {
        name.replace(".", "_"): name for name in NEEDS
    }
    sources = [p for p in Path("bot").rglob("*.py") if "sandbox" not in p.parts]
    nodes = [n for p in sources for n in ast.walk(ast.parse(p.read_text(encoding="utf-8")))]
    names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return {known[name] for name in names & known.keys()}


def test_called_methods_are_exactly_these() -> None:
    assert called() == set(NEEDS)


def test_method_names_are_literals() -> None:
    """Otherwise the previous test would not find it."""
    sources = [p for p in Path("bot").rglob("*.py") if "sandbox" not in p.parts]
    texts = {path: path.read_text(encoding="utf-8") for path in sources}

    assert [
        str(p) for p, text in texts.items() if re.search(r"(?<!super\(\))\.api_call\(", text)
    ] == []


@pytest.mark.parametrize("method", sorted(NEEDS))
def test_called_method_has_a_scope_that_allows_it(method: str) -> None:
    assert not NEEDS[method] or NEEDS[method] & SCOPES.keys()


def test_every_scope_is_needed() -> None:
    assert SCOPES.keys() - BESIDES - set().union(*NEEDS.values()) == set()


@pytest.mark.parametrize("method", sorted(NEEDS))
def test_sandbox_requires_the_same_scopes(method: str) -> None:
    of_bot = "bot" in METHODS[method].tokens

    assert set(METHODS[method].any_of if of_bot else ()) == NEEDS[method]


def test_manifest_declares_exactly_what_has_a_listener() -> None:
    given = both()[0]

    assert [each["command"] for each in given["features"]["slash_commands"]] == [command()]
    assert [each["callback_id"] for each in given["features"]["shortcuts"]] == [*SHORTCUTS]
    assert given["settings"]["event_subscriptions"]["bot_events"] == [*EVENTS]
    assert given["settings"]["interactivity"]["is_enabled"]
