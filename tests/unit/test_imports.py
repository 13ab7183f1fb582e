"""Imports go down only: slack → services → storage → cancellation → atlas."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.syntax import imports_of, modules, name_of, tree_of

#: What a part may import of `bot`, beside itself; for those that are not here see below.
RULES = {
    "bot.atlas",
    "bot.cancellation",
    "bot.log_config",
    "bot.timings",
    "bot.tasks",
}
MAY_IMPORT: dict[str, set[str]] = {
    "bot": set(),
    "bot.atlas": {"bot.timings"},
    "bot.timings": set(),
    "bot.cancellation": {"bot.atlas"},
    "bot.log_config": set(),
    "bot.sandbox": set(),
    "bot.services": RULES | {"bot.storage"},
    "bot.settings": {
        "bot.atlas",
        "bot.cancellation.cluster_entries",
        "bot.cancellation.people",
        "bot.cancellation.policy",
    },
    "bot.slack": RULES | {"bot.services", "bot.storage"},
    "bot.storage": RULES,
    "bot.tasks": {"bot.cancellation.errors"},
    "bot.webhook": RULES | {"bot.storage"},
    "bot.web": {"bot.cancellation.events", "bot.cancellation.lifecycle", "bot.log_config"},
}
#: The top: the command line, what it runs, and the composition root with its start.
KNOW_EVERYBODY = {
    "bot.__main__",
    "bot.app",
    "bot.cli",
    "bot.demo",
    "bot.doctor",
    "bot.leader_loops",
    "bot.reload",
    "bot.startup_checks",
    "bot.wiring",
}

#: Libraries that belong to one part.
BELONGS: dict[str, set[str]] = {
    "httpx": {"bot.atlas", "bot.webhook"},
    "cloudevents": {"bot.webhook"},
    "standardwebhooks": {"bot.webhook"},
    "slack_bolt": {"bot.slack"},
    "slack_sdk": {"bot.slack"},
    "prometheus_client": {"bot.web"},
    "dotenv": {"bot.settings"},
}


def part_of(name: str) -> str:
    return ".".join(name.split(".")[:2])


def is_within(name: str, parts: set[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def test_every_part_has_its_rule() -> None:
    parts = {part_of(name_of(path)) for path in modules()}

    assert parts - MAY_IMPORT.keys() - KNOW_EVERYBODY == set()


def test_imports_go_down_only() -> None:
    found = set()
    for path in modules():
        part = part_of(name_of(path))
        allowed = {"bot"} if part in KNOW_EVERYBODY else MAY_IMPORT[part] | {part}
        imports = {name for name in imports_of(path) if is_within(name, {"bot"})}
        found |= {(path, name) for name in imports if not is_within(name, allowed)}

    assert found == set()


def test_libraries_stay_in_their_part() -> None:
    strangers = set()
    for path in modules():
        part = part_of(name_of(path))
        for name in imports_of(path):
            home = BELONGS.get(name.partition(".")[0])
            if home and part not in home and not may_wire(part, name):
                strangers.add((path, name))

    assert strangers == set()


def may_wire(part: str, library: str) -> bool:
    """The composition root builds the clients; httpx alone stays below, for it may be replaced."""
    return part in KNOW_EVERYBODY and not is_within(library, {"httpx"})


def test_no_module_imports_itself_through_others() -> None:
    names = {name_of(path) for path in modules()}
    graph = {name_of(path): targets_of(path) & names for path in modules()}
    TopologicalSorter(graph).prepare()


def targets_of(path: Path) -> set[str]:
    """Return the modules that `path` imports when it is loaded, and names that may be modules."""
    found = set()
    for node in tree_of(path).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found - {".".join(path.parent.parts), name_of(path)}


#: The folders and modules of one feature of the Slack side, and which imports which.
FEATURES = {"announcement", "card", "command", "dialog", "home", "lists", "outbox"}
FEATURE_IMPORTS = {
    ("command", "dialog"),
    ("command", "lists"),
    ("dialog", "home"),
    ("dialog", "lists"),
    ("home", "card"),
    ("home", "lists"),
    ("outbox", "card"),
}


def test_features_of_slack_import_each_other_in_one_direction() -> None:
    found = {
        (name_of(path).split(".")[2], name.split(".")[2])
        for path in modules()
        if name_of(path).startswith("bot.slack.")
        for name in imports_of(path)
        if name.startswith("bot.slack.")
    }
    between = {(one, other) for one, other in found if one != other and {one, other} <= FEATURES}

    assert between == FEATURE_IMPORTS
    TopologicalSorter({one: {b for a, b in between if a == one} for one in FEATURES}).prepare()


#: What any test may import, and modules of one folder that stand in for Slack or start bots.
LIBRARIES = {"tests.support", "tests.tools", "tests.acceptance.environment"}
LIBRARIES |= {f"tests.unit.slack.{name}" for name in ("block_text", "fake_slack", "samples")}


def borrows(path: Path, name: str) -> bool:
    """Whether `name` is of a test module, or of a folder that does not contain `path`."""
    package, _, module = name.rpartition(".")
    own = {".".join(folder.parts) for folder in path.parents}
    return module.startswith("test_") or not (package in own or is_within(name, LIBRARIES))


def test_tests_import_no_test_module_and_nothing_of_another_folder_of_tests() -> None:
    found = set()
    for path in Path("tests").rglob("*.py"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and is_within(str(node.module), {"tests"}):
                inside = [f"{node.module}.{alias.name}" for alias in node.names]
                modules = [each for each in inside if Path(f"{each.replace('.', '/')}.py").exists()]
                found |= {(path, each) for each in modules or [str(node.module)]}

    assert len(found) > 500
    assert [(str(path), name) for path, name in found if borrows(path, name)] == []


@pytest.mark.parametrize(
    ("name", "is_borrowed"),
    [
        ("tests.acceptance.watch.test_restores", True),
        ("tests.acceptance.durability.environment", True),
        ("tests.unit.cli.test_jobs", True),
        ("tests.acceptance.watch.environment", False),
        ("tests.acceptance.actions", False),
        ("tests.support.clock", False),
    ],
)
def test_import_of_a_test_or_of_another_folder_is_detected(name: str, *, is_borrowed: bool) -> None:
    assert borrows(Path("tests/acceptance/watch/test_x.py"), name) is is_borrowed


def test_forbidden_import_is_detected(tmp_path: Path) -> None:
    module = tmp_path / "x.py"
    module.write_text("def f():\n    import httpx\n    from bot.slack import command\n")

    assert imports_of(module) == {"httpx", "bot.slack"}
