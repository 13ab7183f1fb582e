"""The pages agree with the program: links, settings, commands, sentences, names."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.atlas import errors as atlas_errors
from bot.cancellation import errors as request_errors
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import State
from bot.sandbox.atlas import PRESETS
from bot.settings import load_settings
from bot.slack import errors as slack_errors
from bot.slack.command import FORMS
from bot.slack.dialog.state import UnreadableDialog
from bot.slack.manifest import SCOPES
from bot.slack.mrkdwn import STATE_LABELS
from bot.web.metrics import Metrics
from tests.tools import settings_table

PAGES = [Path("README.md"), Path("CHANGELOG.md"), *sorted(Path("docs").rglob("*.md"))]

#: Inner nodes of the trees of errors: only their leaves are raised.
ROOTS = {"AtlasError", "AtlasRejected", "AtlasUnavailable", "CancellationError", "NotAllowed"}
ROOTS |= {"StateConflict", "StorageError", "SlackError"}


def page(name: str) -> str:
    return Path(name).read_text(encoding="utf-8")


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of every table, heads and rules left out."""
    lines = text.splitlines()
    rules = {n for n, line in enumerate(lines) if re.fullmatch(r"[|\s:-]+", line) and "-" in line}
    body = [
        line
        for n, line in enumerate(lines)
        if line.startswith("|") and n not in rules and n + 1 not in rules
    ]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body]


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_every_link_to_a_file_has_a_target(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    files = [link for link in links if "://" not in link]

    assert [link for link in files if not (path.parent / link).exists()] == []


def test_every_page_is_linked_from_another() -> None:
    linked = "".join(path.read_text(encoding="utf-8") for path in PAGES)

    assert [p.name for p in PAGES[1:] if not re.search(rf"\]\(\S*{p.name}\)", linked)] == []


def test_settings_md_has_the_table_that_the_code_prints() -> None:
    """To regenerate it: python -m tests.tools.settings_table."""
    there = [line for line in page("docs/settings.md").splitlines() if line.startswith("|")]

    assert there == list(settings_table.lines())


def test_example_of_a_projects_file_is_loaded() -> None:
    environ = {
        "SLACK_BOT_TOKEN": "xoxb-1",
        "SLACK_APP_TOKEN": "xapp-1",
        "BOT_PROJECTS_FILE": "projects.example.toml",
        "MONGODB_ATLAS_CLIENT_ID": "id",
        "MONGODB_ATLAS_CLIENT_SECRET": "secret",
        "SHOP_PUBLIC_KEY": "public",
        "SHOP_PRIVATE_KEY": "private",
        "ORG_CLIENT_ID": "id",
        "ORG_CLIENT_SECRET": "secret",
    }
    settings = load_settings(environ, Path("docs"))
    prod, test = settings.projects

    assert [each.exclude for each in settings.organizations] == [("*-sandbox",)]

    assert (
        prod.name,
        prod.policies.default.approvals,
        prod.policies.default.confirm_by_typing,
    ) == (
        "shop-prod",
        1,
        True,
    )
    assert (test.name, test.policies.default.approvals, test.policies.default.require_reason) == (
        "shop-test",
        0,
        True,
    )


def test_readme_has_the_commands_of_the_help_word_for_word() -> None:
    table = page("README.md").partition("## In daily use")[2].partition("\n## ")[0]

    assert {row[0].strip("`"): row[1] for row in rows(table)} == {
        form or "*nothing*": does for form, does in FORMS.items()
    }


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_faults_that_pages_name_are_presets(path: Path) -> None:
    named = re.findall(r"--fault ([a-z-]+)", path.read_text(encoding="utf-8"))

    assert set(named) - set(PRESETS) == set()


def leaves() -> list[Any]:
    """Return every error that people can meet."""
    modules = (atlas_errors, request_errors, slack_errors)
    found = [
        each
        for module in modules
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, Exception)
        if each.__module__ == module.__name__ and each.__name__ not in ROOTS
    ]
    return sorted(found, key=lambda each: each.__qualname__)


@pytest.mark.parametrize("leaf", leaves(), ids=lambda leaf: f"{leaf.__module__}.{leaf.__name__}")
def test_troubleshooting_has_every_sentence_that_people_see(leaf: Any) -> None:
    sentence = re.sub(r"\{\w+\}", "…", leaf.sentence)

    assert f"| {sentence} |" in page("docs/troubleshooting.md")


def test_sentences_of_errors_are_kept_where_docstrings_are_removed() -> None:
    code = (
        "from bot import atlas; from bot.cancellation import errors; from bot.slack import errors"
        " as slack; from bot.slack.dialog.state import UnreadableDialog as Unreadable;"
        " print(atlas.TimedOut(), errors.NotRecorded(), slack.CannotPost(), Unreadable(), sep='|')"
    )
    ran = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, check=True)

    assert ran.stdout.decode().strip().split("|") == [
        atlas_errors.TimedOut.sentence,
        request_errors.NotRecorded.sentence,
        slack_errors.CannotPost.sentence,
        str(UnreadableDialog()),
    ]


def test_troubleshooting_has_the_state_labels_of_the_card() -> None:
    table = page("docs/troubleshooting.md").partition("## On a card")[2].partition("\n## ")[0]
    on_cards = {re.sub(r"^:\w+: ", "", words) for words in STATE_LABELS.values()}

    assert {row[0] for row in rows(table)} - on_cards == set()


def test_operations_has_every_metric_and_no_other() -> None:
    rendered = Metrics().render().decode()
    real = set(re.findall(r"^# TYPE (\w+)", rendered, re.MULTILINE))
    named = re.findall(r"^\| `(cancel_restore_\w+)", page("docs/operations.md"), re.MULTILINE)

    assert set(named) == {name for name in real if not name.endswith("_created")}


def test_alerts_page_has_the_severity_of_each_alert() -> None:
    text = page("docs/monitoring/alerts.yaml")
    named = re.findall(r"- alert: (\w+)\n(?:.*\n)*?.*severity: (\w+)", text)

    assert [(row[0].strip("`"), row[1]) for row in rows(page("docs/alerts.md"))] == named
    assert len(named) == text.count("- alert:")


def test_page_about_slack_has_every_scope_of_the_manifest() -> None:
    table_of_scopes = page("docs/slack.md").partition("## The scopes")[2]
    cells = [row[0] for row in rows(table_of_scopes) if len(row) == 2]
    named = {scope for cell in cells for scope in re.findall(r"`([\w:.]+)`", cell)}

    assert named == {*SCOPES, "connections:write"}


def test_every_link_to_a_heading_has_a_target() -> None:
    broken = []
    for path in PAGES:
        links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", path.read_text(encoding="utf-8"))
        for name, anchor in links:
            there = (path.parent / name if name else path).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.+)$", there, re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in headings}
            broken += [(path.name, name, anchor)] * (anchor not in slugs)

    assert broken == []


def test_glossary_has_every_state_and_event() -> None:
    text = page("docs/glossary.md").partition("## States of a request")[2]
    states, _, events = text.partition("## Events of the audit log")

    assert [row[0].strip("`") for row in rows(states)] == [state.value for state in State]
    assert set(re.findall(r"`([\w:]+)`", events)) == {event.value for event in EventName}


def test_modules_that_the_architecture_names_exist() -> None:
    files = {path.as_posix() for path in Path("bot").rglob("*")}
    text = page("docs/architecture.md")
    named = set(re.findall(r"`([\w/]+\.py|[\w/]+/)`", text))
    named |= {f"{name.replace('.', '/')}" for name in re.findall(r"`(bot(?:\.\w+)+)`", text)}

    assert {n for n in named if not known(n.rstrip("/"), files)} == set()


def known(name: str, files: set[str]) -> bool:
    candidates = (name, f"{name}.py")
    return Path(name).exists() or any(
        f"/{file}".endswith(f"/{c}") for file in files for c in candidates
    )


@pytest.mark.parametrize(("edition", "words"), [("1.1.0", 500), ("1.0.0", 900)])
def test_changelog_is_short(edition: str, words: int) -> None:
    section = page("CHANGELOG.md").partition(f"## {edition}")[2].partition("\n## ")[0]

    assert 0 < len(section.split()) <= words


def test_no_sentence_has_a_plural_in_parentheses() -> None:
    texts = [
        (path.name, node.value)
        for path in Path("bot").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]

    assert len(texts) > 1000
    assert [(name, text) for name, text in texts if re.search(r"[a-z]\(s\)", text)] == []
