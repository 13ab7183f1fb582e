"""Imports go down only: cli, demo → app → doctor, slack, web → services → storage → cancellation.

Below is `bot.atlas`; settings, the log and tasks are beside them; the stand-ins import nothing.
"""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from tests.support.syntax import imports_of, modules, name_of, tree_of

#: What a part may import of `bot`, beside itself.
TECHNIQUE = {"bot.log_config", "bot.tasks"}
RULES = TECHNIQUE | {"bot.atlas", "bot.cancellation"}
STORAGE = RULES | {"bot.storage"}
SERVICES = STORAGE | {"bot.services"}
WIRING = SERVICES | {"bot.report", "bot.settings", "bot.web", "bot.wiring"}
MAY_IMPORT: dict[str, set[str]] = {
    "bot": set(),
    "bot.log_config": set(),
    "bot.tasks": set(),
    "bot.sandbox": set(),
    "bot.atlas": {"bot.tasks"},
    "bot.cancellation": {"bot.atlas"},
    "bot.settings": {"bot.atlas", "bot.cancellation.people", "bot.cancellation.policy"},
    "bot.storage": RULES,
    "bot.services": STORAGE,
    "bot.slack": SERVICES,
    "bot.web": {"bot.cancellation.request"},
    "bot.report": SERVICES | {"bot.web"},
    "bot.wiring": WIRING,
    "bot.doctor": WIRING | {"bot.slack"},
    "bot.active_process": WIRING | {"bot.slack"},
    "bot.app": WIRING | {"bot.active_process"},
    "bot.cli": WIRING | {"bot.slack", "bot.doctor", "bot.app", "bot.demo"},
    "bot.demo": {"bot.app", "bot.cli", "bot.log_config", "bot.sandbox", "bot.tasks"},
    "bot.__main__": {"bot.cli"},
}
#: Libraries that belong to one part; the composition root builds some of their clients.
BELONGS: dict[str, set[str]] = {
    "httpx": {"bot.atlas"},
    "anyio": {"bot.atlas"},
    "slack_bolt": {"bot.slack"},
    "slack_sdk": {"bot.slack", "bot.doctor"},
    "prometheus_client": {"bot.web"},
    "dotenv": {"bot.settings"},
    "typer": {"bot.cli", "bot.demo"},
    "alembic": {"bot.storage"},
}


def part_of(name: str) -> str:
    return ".".join(name.split(".")[:2])


def is_within(name: str, parts: set[str]) -> bool:
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def imports_between_parts() -> set[tuple[str, str, str]]:
    """Return (module, part, imported name) of every import of another part."""
    return {
        (name_of(path), part_of(name_of(path)), name)
        for path in modules()
        for name in imports_of(path)
        if name.startswith("bot.") and part_of(name) != part_of(name_of(path))
    }


def test_every_part_has_its_rule() -> None:
    assert {part_of(name_of(path)) for path in modules()} == MAY_IMPORT.keys()


def test_imports_go_down_only() -> None:
    wrong = {
        (module, name)
        for module, part, name in imports_between_parts()
        if not is_within(name, MAY_IMPORT[part])
    }

    assert wrong == set()


def test_parts_form_layers() -> None:
    """What the table allows has no circle, but for the demo, which the command line starts."""
    graph = {
        part: {part_of(name) for name in allowed if name != part} - {"bot.demo"}
        for part, allowed in MAY_IMPORT.items()
    }
    order = list(TopologicalSorter(graph).static_order())

    lower = [
        "bot.atlas",
        "bot.cancellation",
        "bot.storage",
        "bot.services",
        "bot.slack",
        "bot.app",
    ]
    assert sorted(lower, key=order.index) == lower


def test_libraries_stay_in_their_part() -> None:
    strangers = {
        (name_of(path), name)
        for path in modules()
        for name in imports_of(path)
        if (home := BELONGS.get(name.partition(".")[0])) and part_of(name_of(path)) not in home
    }

    assert strangers == set()


def test_stand_ins_import_nothing_of_the_bot() -> None:
    found = {
        (module, name) for module, part, name in imports_between_parts() if part == "bot.sandbox"
    }

    assert found == set()


def test_nothing_but_the_demo_imports_the_stand_ins() -> None:
    """The image has neither."""
    importers = {
        (module, part_of(name))
        for module, _, name in imports_between_parts()
        if is_within(name, {"bot.sandbox", "bot.demo"})
    }
    others = {pair for pair in importers if not pair[0].startswith("bot.demo.")}

    assert others == {("bot.cli.main", "bot.demo")}


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


def borrows(path: Path, name: str) -> bool:
    """Whether `name` is of a test module, or of a folder that does not contain `path`."""
    package, _, module = name.rpartition(".")
    own = {".".join(folder.parts) for folder in path.parents}
    shared = {"tests.support", "tests.tools"}
    return module.startswith("test_") or not (package in own or is_within(name, shared))


def test_tests_import_no_test_module_and_nothing_of_another_folder_of_tests() -> None:
    found = set()
    for path in Path("tests").rglob("*.py"):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and is_within(str(node.module), {"tests"}):
                inside = [f"{node.module}.{alias.name}" for alias in node.names]
                files = [name for name in inside if Path(f"{name.replace('.', '/')}.py").exists()]
                found |= {(path, name) for name in files or [str(node.module)]}

    assert found
    assert [(str(path), name) for path, name in found if borrows(path, name)] == []


def test_import_within_a_function_is_found(tmp_path: Path) -> None:
    module = tmp_path / "x.py"
    module.write_text("def f():\n    import httpx\n    from bot.slack import command\n")

    assert imports_of(module) == {"httpx", "bot.slack"}
