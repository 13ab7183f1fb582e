"""The JSON Schema of the projects file, judged by an independent validator."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from bot.cli.main import app
from bot.settings.parsers import read
from bot.settings.policy import POLICY_KEYS
from bot.settings.projects import ProjectEntry
from bot.settings.schema import json_schema

EXAMPLE = Path("docs/projects.example.toml")
SCHEMA = Path("docs/projects.schema.json")
PROJECT = {"name": "shop", "id": "5b6212af90dc76637950a2c6"}


def is_valid(*projects: dict[str, Any]) -> bool:
    return Draft7Validator(json_schema()).is_valid({"projects": list(projects)})


def test_schema_in_docs_is_the_one_that_the_command_prints() -> None:
    """To regenerate it: cancel-restore schema > docs/projects.schema.json."""
    printed = CliRunner().invoke(app, ["schema"]).output

    assert SCHEMA.read_text(encoding="utf-8") == printed
    assert json.loads(printed) == json_schema()
    Draft7Validator.check_schema(json_schema())


def test_example_names_the_schema_and_satisfies_it() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")

    assert text.startswith(f"#:schema ./{SCHEMA.name}\n")
    assert Draft7Validator(json_schema()).is_valid(tomllib.loads(text))
    assert Draft7Validator(json_schema()).is_valid({"organizations": [{"include": ["*"]}]})


def test_every_key_has_a_description_and_a_type() -> None:
    keys = json_schema()["$defs"]["ProjectEntry"]["properties"]

    assert keys.keys() == ProjectEntry.model_fields.keys() >= set(POLICY_KEYS)
    assert [name for name, key in keys.items() if not key["description"]] == []
    assert [name for name, key in keys.items() if "type" not in key and "enum" not in key] == []


@pytest.mark.parametrize("watch", ["none", "", "C1", None])
@pytest.mark.parametrize("mode", ["observe", "enforce", "off", None])
def test_quarantine_in_the_table_that_sets_no_watch_channel_is_marked(
    watch: str | None, mode: str | None
) -> None:
    values = {"watch_channel": watch, "quarantine": mode}
    given = {key: value for key, value in values.items() if value is not None}
    is_wrong = watch in {"none", ""} and mode in {"observe", "enforce"}

    assert is_valid(PROJECT | given) is not is_wrong
    assert is_valid(PROJECT | {"clusters": [{"names": ["a"], **given}]}) is not is_wrong
    for key, value in given.items():
        cluster = {"names": ["a"], **given}
        del cluster[key]
        table = PROJECT | {key: value, "clusters": [{"names": ["b"]}, cluster]}
        assert is_valid(table) is not is_wrong


@pytest.mark.parametrize(
    "wrong",
    [
        {"aprovals": 1},
        {"approvals": 6},
        {"approvals": "two"},
        {"approval_ttl": 0},
        {"approvers": ["@ada"]},
        {"channels": ["#ops"]},
        {"audit_channel": "ops"},
        {"watch_channel": "D0RINA"},
        {"requesters": []},
        {"remind_after": [*range(1, 12)]},
        {"quarantine_expected": ["a;b"]},
        {"require_reason": "always"},
        {"id": "shop"},
        {"name": "two words"},
        {"public_key_env": "a-key", "private_key_env": "KEY"},
    ],
    ids=str,
)
def test_mistakes_that_the_bot_refuses_are_marked(wrong: dict[str, Any]) -> None:
    problems: list[str] = []
    read(ProjectEntry, PROJECT | wrong, problems)

    assert len(problems) == 1
    assert is_valid(PROJECT)
    assert not is_valid(PROJECT | wrong)
    assert not is_valid()
    assert not is_valid({"name": "shop"})


@pytest.mark.parametrize("kind", ["projects", "organizations"])
def test_half_of_the_credentials_and_two_kinds_of_them_are_marked(kind: str) -> None:
    table = PROJECT if kind == "projects" else {}
    kinds = [("public_key_env", "private_key_env"), ("client_id_env", "client_secret_env")]

    def marked(*keys: str) -> bool:
        file = {kind: [table | dict.fromkeys(keys, "KEY")]}
        return not Draft7Validator(json_schema()).is_valid(file)

    assert [marked(*keys) for keys in kinds] == [False, False]
    assert all(marked(half) for keys in kinds for half in keys)
    assert marked(*kinds[0], *kinds[1])
