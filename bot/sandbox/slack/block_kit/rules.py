"""Validators that the Block Kit tables combine; each yields error sentences like Slack's."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

Rule: TypeAlias = Callable[[object, str], Iterator[str]]


def at(path: str, sentence: str) -> str:
    return f"{sentence} [json-pointer:{path}]"


def anything(_value: object, _path: str) -> Iterator[str]:
    yield from ()


def boolean(value: object, path: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield at(path, "must be a boolean")


def string(most: int, least: int = 0) -> Rule:
    """A string of `least` to `most` characters."""

    def check(value: object, path: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield at(path, "must be a string")
        elif len(value) < least:
            yield at(path, f"must be more than {least - 1} characters")
        elif len(value) > most:
            yield at(path, f"must be less than {most + 1} characters")

    return check


def integer(least: int, most: int) -> Rule:
    def check(value: object, path: str) -> Iterator[str]:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            yield at(path, f"must be an integer from {least} to {most}")

    return check


def one_of(*allowed: str) -> Rule:
    def check(value: object, path: str) -> Iterator[str]:
        if value not in allowed:
            yield at(path, f"must be one of: {', '.join(allowed)}")

    return check


def listing(item: Rule, most: int, least: int = 1) -> Rule:
    """A list of `least` to `most` items, each checked by `item`."""

    def check(value: object, path: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield at(path, "must be an array")
            return
        if len(value) < least:
            yield at(path, f"no fewer than {least} items allowed")
        if len(value) > most:
            yield at(path, f"no more than {most} items allowed")
        for index, entry in enumerate(value):
            yield from item(entry, f"{path}/{index}")

    return check


def shape(required: Mapping[str, Rule], optional: Mapping[str, Rule] | None = None) -> Rule:
    """An object with these fields and no others (Slack rejects additional properties)."""
    known = {**required, **(optional or {})}

    def check(value: object, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield at(path, "must be an object")
            return
        for name in required:
            if name not in value:
                yield at(path, f"missing required field: {name}")
        for name, entry in value.items():
            if name in known:
                yield from known[name](entry, f"{path}/{name}")
            else:
                yield at(path, f"invalid additional property: {name}")

    return check


def by_type(table: Mapping[str, Rule]) -> Rule:
    """An object whose `type` selects its rule in `table`."""

    def check(value: object, path: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield at(path, "must be an object")
        elif (kind := str(value.get("type"))) not in table:
            yield at(f"{path}/type", f"unsupported type: {kind}")
        else:
            yield from table[kind](value, path)

    return check


def both(*rules: Rule) -> Rule:
    def check(value: object, path: str) -> Iterator[str]:
        for rule in rules:
            yield from rule(value, path)

    return check
