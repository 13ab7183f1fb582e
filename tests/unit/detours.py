"""Finds uses of guarded names in syntax trees, aliases and other detours included.

A use that is not plainly harmless counts: so an alias, `getattr`, or a table in a tuple is found
without following where the value goes.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from tests.support.syntax import modules, name_of, tree_of

ROWS = "storage.request_rows"
TABLES = "storage.tables"
#: What could make or change a value without its constructor.
DETOURS = {"__class__", "__new__", "__setattr__", "__subclasses__", "__wrapped__", "__args__"}
WRITE = r"(INSERT\s+(OR\s+\w+\s+)?INTO|REPLACE\s+INTO|MERGE\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE)"
RAW_WRITE = re.compile(rf"\b{WRITE}\s+[\"'`\[]?(requests|approvals)\b", re.IGNORECASE)
#: The name of the table is built at run time.
BUILT_WRITE = re.compile(rf"\b{WRITE}\s+[\"'`\[]?(\{{|$)")


@dataclass(eq=False)
class Source:
    """One module: its name without `bot.`, and its tree."""

    name: str
    tree: ast.Module

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {
            node: parent for parent in ast.walk(self.tree) for node in ast.iter_child_nodes(parent)
        }

    @cached_property
    def imports(self) -> dict[str, str]:
        """The local names of imports, with what they are: `storage.tables.requests`."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                package = ["bot", *self.name.split(".")][: -node.level] if node.level else []
                base = ".".join([*package, *filter(None, [node.module])])
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{base}.{alias.name}".removeprefix("bot.")
        return found

    def names(self) -> Iterator[str]:
        """Yield each name, imported or defined name, text, and attribute with and without dot."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Attribute(attr=name):
                    yield name
                    yield f".{name}"
                case ast.Name(id=name) | ast.alias(name=name) | ast.Constant(value=str(name)):
                    yield name
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    yield name
                case ast.ClassDef(name=name):
                    yield name

    def uses(self, home: str, names: Iterable[str]) -> Iterator[tuple[ast.AST, str]]:
        """Yield each use of these names of a module of storage, and each bare use of the module."""
        guarded, base = set(names), home.rpartition(".")[2]
        for node in ast.walk(self.tree):
            match node:
                case ast.Name(id=name, ctx=ast.Load()):
                    origin = self._origin(name, home)
                    module, _, last = origin.rpartition(".")
                    if last in guarded and module.startswith("storage."):
                        yield node, last
                    elif origin == home and not self._is_accessed(node):
                        yield node, home
                case ast.Attribute(value=ast.Name(id=name), attr=attribute) if (
                    attribute in guarded and self._origin(name, home).startswith("storage.")
                ):
                    yield node, attribute
                case ast.Attribute(value=ast.Attribute(attr=name), attr=attribute) if (
                    name == base and attribute in guarded
                ):
                    yield node, attribute
                case ast.Attribute(attr=name) if name == base and not self._is_accessed(node):
                    yield node, home
                case ast.alias(name=name) if name == "*" or f"{name}.".startswith("bot."):
                    yield node, home
                case ast.Constant(value=str(text)) if text in {f"bot.{home}", f".{base}", base}:
                    yield node, home

    def _origin(self, name: str, home: str) -> str:
        return self.imports.get(name, f"{home}.{name}" if self.name == home else "")

    def _is_accessed(self, node: ast.AST) -> bool:
        """Whether only a named attribute of it is used."""
        return isinstance(self.parents[node], ast.Attribute)


#: The stand-ins import nothing of the bot; the demo starts the bot as a process.
SOURCES = [
    Source(name.removeprefix("bot."), tree_of(path))
    for path in modules()
    if not (name := name_of(path)).startswith(("bot.sandbox", "bot.demo"))
]


def makes_people(source: Source) -> set[str]:
    """Return the uses of `ActingPerson` besides its import and the types of values."""
    types = {inner for outer in _types(source.tree) for inner in ast.walk(outer)}
    nodes = (node for node in ast.walk(source.tree) if node not in types)
    return {found for node in nodes if (found := _makes(source, node))}


def _makes(source: Source, node: ast.AST) -> str | None:
    match node:
        case ast.Name(id="ActingPerson") | ast.Attribute(attr="ActingPerson"):
            return "ActingPerson"
        case ast.alias(name="ActingPerson", asname=str(name)):
            return name
        case ast.Attribute(attr=name) if name in DETOURS and not _sets_itself_up(source, node):
            return name
        case ast.Constant(value=str(text)) if text.endswith("ActingPerson") or text in DETOURS:
            return text
        case ast.Call(func=ast.Call(func=ast.Name(id="type"), args=[ast.Name(id=of)])):
            return None if of == "self" else f"type({of})"
    return None


def _sets_itself_up(source: Source, node: ast.AST) -> bool:
    """Whether it is `object.__setattr__(self, …)`, as frozen values do at their start."""
    match source.parents[node]:
        case ast.Call(args=[ast.Name(id="self"), *_], func=ast.Attribute(attr="__setattr__")):
            return True
    return False


def _types(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the types of parameters, results and fields; a call of `Callable[…]` fails."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(annotation=ast.AST() as kind) | ast.AnnAssign(annotation=kind):
                yield kind
            case ast.FunctionDef(returns=ast.AST() as kind):
                yield kind
            case ast.AsyncFunctionDef(returns=ast.AST() as kind):
                yield kind
            case ast.Subscript(value=ast.Name(id="Callable")):
                yield node


def writes(source: Source) -> set[str]:
    """Return what may write requests or approvals: tables that are not only read, and SQL."""
    found = {
        name
        for node, name in source.uses(TABLES, {"requests", "approvals"})
        if not _is_read(source, node)
    }
    for node in ast.walk(source.tree):
        match node:
            case ast.Constant(value=str(sql)) if RAW_WRITE.search(sql) or BUILT_WRITE.search(sql):
                found.add(sql)
            case ast.JoinedStr() if BUILT_WRITE.search(text := ast.unparse(node)):
                found.add(text)
    return found


def _is_read(source: Source, node: ast.AST) -> bool:
    """Whether a table is used as `select(table)`, or as `table.c.name` and not its `table`."""
    match parent := source.parents[node]:
        case ast.Call(func=ast.Name(id="select")):
            return True
        case ast.Attribute(attr="c"):
            column = source.parents[parent]
            outer = source.parents[column]
            is_table = isinstance(outer, ast.Attribute) and outer.attr == "table"
            return isinstance(column, ast.Attribute) and not is_table
    return False


def writing_functions() -> set[str]:
    """Return the functions of the rows that write, also through others."""
    (rows,) = (source for source in SOURCES if source.name == ROWS)
    calls = {
        node.name: set(_calls(node)) for node in rows.tree.body if isinstance(node, ast.FunctionDef)
    }
    found = {"insert", "update", "delete"}
    for _ in calls:
        found |= {name for name, called in calls.items() if called & found}
    return found & calls.keys()


def _calls(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Name(id=name)):
                yield name


def changes_of_requests(source: Source) -> set[str]:
    """Return the writing functions of the rows that a module uses."""
    return {name for _, name in source.uses(ROWS, writing_functions())}


def sets_of(source: Source, fields: set[str]) -> set[str]:
    """Return which of these fields a module names as a value to set, or as a text."""
    found = set()
    for node in ast.walk(source.tree):
        match node:
            case ast.keyword(arg=str(name)) | ast.Constant(value=str(name)):
                found.add(name)
            case ast.Dict(keys=keys):
                found |= {key.attr for key in keys if isinstance(key, ast.Attribute)}
            case ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
    return found & fields


def callables(source: Source) -> Iterator[tuple[str, str]]:
    """Yield the fields, parameters and types that are functions, with what these return."""
    for node in ast.walk(source.tree):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=value):
                yield from ((name, result) for part in (kind, value) for result in _results(part))
            case ast.Assign(targets=[ast.Name(id=name)], value=kind):
                yield from ((name, result) for result in _results(kind))
            case ast.arg(arg=name, annotation=kind):
                yield from ((name, result) for result in _results(kind))


def _results(kind: ast.AST | None) -> Iterator[str]:
    for node in ast.walk(kind) if kind else ():
        match node:
            case ast.Subscript(
                value=ast.Name(id="Callable"), slice=ast.Tuple(elts=[_, ast.AST() as result])
            ):
                yield ast.unparse(result)


def imported_modules(source: Source) -> set[str]:
    """Return the modules of the bot that a module imports, not their packages."""
    names = {item.name for item in SOURCES}
    found = set()
    for node in ast.walk(source.tree):
        match node:
            case ast.ImportFrom(module=str(base), names=aliases) if f"{base}.".startswith("bot."):
                base = base.removeprefix("bot").removeprefix(".")
                inside = {f"{base}.{alias.name}".removeprefix(".") for alias in aliases}
                found |= (inside & names) or {base}
    return found
