"""Small wrong changes of a module, one at a time: what a test that states the rule must notice."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
#: Parts of the syntax that have no effect on a rule.
_SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "type_comment"}
#: Calls that only build types or fields, or write log lines; and arguments that only guard against
#: what types and callers exclude, so that no test reaches them.
_SKIPPED = {"TypeVar", "ParamSpec", "field", "log_errors", "nullable", "strict"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed module.

    `function` is the qualified name of the changed function, and `line` that of its changed
    statement; empty and 0 for what runs when the module is loaded.
    """

    function: str
    line: int
    what: str  #: what was changed, with the function and the line
    source: str
    constant: str = ""  #: the name of the module whose value was changed, if it was one
    code: str = ""  #: the line of the file with the change, without its indent


def mutants_of(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source)
    lines = ["", *(line.strip() for line in source.splitlines())]
    for statement in tree.body:
        for mutant in _within(tree, statement, ("",), 0):
            number = re.search(r":(\d+) ", mutant.what)
            code = lines[int(number[1])] if number else ""
            yield replace(mutant, constant=_constant(statement), code=code)


def _constant(statement: ast.stmt) -> str:
    """Return the name that a statement of a module gives a value, if it does no more."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return ""


def _within(tree: ast.Module, node: ast.AST, owner: tuple[str, ...], line: int) -> Iterator[Mutant]:
    """Change each part of a node in turn, and put it back; `owner` has classes and a function."""
    for name, value in ast.iter_fields(node):
        if name in _SKIPPED_FIELDS:
            continue
        inside = _owner(node, name, owner)
        function = ".".join(filter(None, inside)) if inside[-1] else ""
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or _is_skipped(child):
                continue
            at = child.lineno if function and isinstance(child, ast.stmt) else line
            for what, changed in _changes(child):
                _put(node, name, index, changed)
                place = f"{function or 'module'}:{getattr(child, 'lineno', at)}"
                changed_source = ast.unparse(ast.fix_missing_locations(tree))
                yield Mutant(function, at, f"{place} {what}", changed_source)
                _put(node, name, index, child)
            yield from _within(tree, child, inside, at)


def _owner(node: ast.AST, field: str, owner: tuple[str, ...]) -> tuple[str, ...]:
    """Return the classes around the body of a node, and last the outermost function, if any."""
    *classes, function = owner
    if field != "body" or function:
        return owner
    match node:
        case ast.ClassDef(name=name):
            return (*classes, name, "")
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return (*classes, name)
    return owner


def _put(node: ast.AST, name: str, index: int, child: ast.AST) -> None:
    value = getattr(node, name)
    if isinstance(value, list):
        value[index] = child
    else:
        setattr(node, name, child)


def _is_skipped(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom():
            return True
        case ast.keyword(arg=name) | ast.Call(func=ast.Name(id=name)):
            return name in _SKIPPED
        case ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log")))):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield what to put in the place of a node, and how to name it."""
    if isinstance(node, ast.expr):
        yield from _changes_of_operators(node)
        yield from _changes_of_values(node)
    elif isinstance(node, ast.stmt):
        yield from _changes_of_statements(node)


def _changes_of_operators(node: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=right):
            new = _COMPARISONS[type(op)]
            yield f"{_name(op)} → {new.__name__}", ast.Compare(left, [new()], right)
        case ast.BoolOp(op=op, values=values):
            other = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield f"{_name(op)} → {_name(other)}", ast.BoolOp(other, values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not dropped", operand
        case ast.BinOp(left=left, op=operator, right=after) if type(operator) in _OPERATORS:
            changed = _OPERATORS[type(operator)]
            yield f"{_name(operator)} → {changed.__name__}", ast.BinOp(left, changed(), after)


def _changes_of_values(node: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Constant(value=bool(value)):
            yield f"{value} → {not value}", ast.Constant(not value)
        case ast.Constant(value=int(number) | float(number)):
            yield f"{number} → {number + 1}", ast.Constant(number + 1)
        case ast.Call(func=function, args=args, keywords=keywords):
            for dropped in keywords:
                if dropped.arg in _SKIPPED:
                    continue
                rest = [item for item in keywords if item is not dropped]
                yield f"{dropped.arg or '**'}= dropped", ast.Call(function, args, rest)


def _changes_of_statements(node: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.If(test=test, body=body, orelse=orelse) if _is_plain(test):
            yield "condition negated", ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Return(value=ast.expr() as value) if not _is_singleton(value):
            yield "returns None", ast.Return(ast.Constant(None))
        case ast.Expr() | ast.Raise() | ast.AugAssign():
            yield f"{ast.unparse(node).splitlines()[0][:40]} dropped", ast.Pass()


def _is_plain(test: ast.expr) -> bool:
    return not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp)


def _is_singleton(value: ast.expr) -> bool:
    """Whether a value is None, or True or False, which have a change of their own."""
    return isinstance(value, ast.Constant) and (value.value is None or value.value in {True, False})


def _name(node: ast.AST) -> str:
    return type(node).__name__
