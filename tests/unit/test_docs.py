"""The pages: their links lead somewhere, and the names in them are those of the code."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from bot.cancellation.events import EventName
from bot.cancellation.request import State
from bot.cli.main import app
from bot.settings.load import VARIABLES
from bot.settings.projects import ProjectEntry
from bot.web.metrics import Metrics

PAGES = [Path("README.md"), *sorted(Path("docs").glob("*.md")), Path("CHANGELOG.md")]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
OPERATIONS = TEXTS[Path("docs/operations.md")]
ALERTS = yaml.safe_load(Path("docs/monitoring/alerts.yaml").read_text(encoding="utf-8"))

LINK = re.compile(r"\]\((?!https?://)([^)\s#]*)(?:#([^)\s]+))?\)")
CODE = re.compile(r"`([^`\n]+)`|^ {4,}(.+)$", re.MULTILINE)
COMMAND = re.compile(r"(?:^|bin/|\s)cancel-restore ([a-z]+)(.*)")
SETTING = re.compile(r"\b(?:BOT|SLACK|MONGODB_ATLAS|LOG)_[A-Z_]*[A-Z]\b")
MODULE = re.compile(r"`(?:bot/)?(\w+/[\w/]+\.py)`")
EVENT = re.compile(r"`((?:request|atlas|download):\w+)`")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    missing = []
    for path, anchor in LINK.findall(TEXTS[page]):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(f"{path}#{anchor}")

    assert missing == []


def anchors(page: Path) -> set[str]:
    """Return the anchors that a code host gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_settings_events_and_commands_of_a_page_exist(page: Path) -> None:
    assert set(SETTING.findall(TEXTS[page])) <= set(VARIABLES)
    assert set(EVENT.findall(TEXTS[page])) <= set(EventName)
    for name, options in commands_in(TEXTS[page]):
        assert options <= OPTIONS.get(name, set()), name
        assert name in OPTIONS


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_modules_of_a_page_exist(page: Path) -> None:
    roots = (Path("bot"), Path("bot/sandbox"), Path())

    assert [
        name
        for name in MODULE.findall(TEXTS[page])
        if not any((root / name).exists() for root in roots)
    ] == []


def commands_in(text: str) -> Iterator[tuple[str, set[str]]]:
    for code in map("".join, CODE.findall(text)):
        for name, rest in COMMAND.findall(code):
            yield name, set(re.findall(r" (--[\w-]+)", rest))


def options_of_commands() -> dict[str, set[str]]:
    group = typer.main.get_group(app)
    return {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in group.commands.items()
    }


OPTIONS = options_of_commands()


def test_page_of_settings_names_every_key_of_a_projects_file() -> None:
    keys = set(ProjectEntry.model_fields)
    page = TEXTS[Path("docs/settings.md")]
    assert [key for key in keys if f"`{key}`" not in page and f".{key}]]`" not in page] == []


def test_readme_shows_every_command() -> None:
    shown = {name for name, _ in commands_in(TEXTS[Path("README.md")])}

    assert shown == set(OPTIONS)


def names_below(heading: str) -> list[str]:
    """Return the names in the first cells of the table below a heading of operations.md."""
    part = re.split(r"^##+ ", OPERATIONS.partition(f"## {heading}\n")[2], flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`.+?) \|", part, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`{]+)[^`]*`", cell)]


def test_tables_of_operations_have_every_metric_event_and_state() -> None:
    assert sorted(names_below("Metrics")) == sorted(series())
    assert sorted(names_below("Events")) == sorted(EventName)
    assert sorted(names_below("States")) == sorted(State)


def test_each_alert_leads_to_its_heading_in_operations() -> None:
    rules = {rule["alert"]: rule for group in ALERTS["groups"] for rule in group["rules"]}

    assert re.findall(r"^### (CancelRestore\w+)$", OPERATIONS, re.MULTILINE) == list(rules)
    assert {name: rule["annotations"]["runbook_url"] for name, rule in rules.items()} == {
        name: f"docs/operations.md#{name.lower()}" for name in rules
    }


def series() -> set[str]:
    return set(re.findall(r"^# TYPE (\w+)", Metrics().render().decode(), re.MULTILINE))


def test_lines_of_the_log_in_operations_exist() -> None:
    sources = (path.read_text(encoding="utf-8") for path in Path("bot").rglob("*.py"))
    code = "".join(sources)

    assert [line for line in names_below("Logs") if f'"{line}"' not in code] == []
