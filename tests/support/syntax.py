"""The modules of the bot and their syntax trees, for tests of the structure."""

import ast
from functools import cache
from pathlib import Path

SOURCE = Path("bot")


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> set[str]:
    """Return every module that `path` imports, for types too; relative ones in full."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= from_import(node, path)
    return found


def from_import(node: ast.ImportFrom, path: Path) -> set[str]:
    package = list(path.parent.parts)
    base = package[: len(package) - node.level + 1] if node.level else []
    source = ".".join([*base, *([node.module] if node.module else [])])
    if source == "bot":
        return {f"bot.{alias.name}" for alias in node.names}
    return {source}
