"""Block Kit's elements and composition objects with their limits, as tables.

Limits: docs.slack.dev, reference/block-kit (composition objects, block elements).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bot.sandbox.slack.block_kit.rules import (
    Rule,
    anything,
    at,
    boolean,
    both,
    by_type,
    integer,
    listing,
    one_of,
    shape,
    string,
)

ID = string(255)


def plain(most: int) -> Rule:
    """A plain_text object of 1 to `most` characters."""
    return shape(
        {"type": one_of("plain_text"), "text": string(most, 1)},
        {"emoji": boolean},
    )


def mrkdwn(most: int) -> Rule:
    return shape({"type": one_of("mrkdwn"), "text": string(most, 1)}, {"verbatim": boolean})


def text(most: int) -> Rule:
    """A text object of either kind, of 1 to `most` characters."""
    return by_type({"plain_text": plain(most), "mrkdwn": mrkdwn(most)})


CONFIRM = shape(
    {"title": plain(100), "text": text(300), "confirm": plain(30), "deny": plain(30)},
    {"style": one_of("primary", "danger")},
)

PLAIN_OPTION = shape({"text": plain(75), "value": string(150, 1)}, {"description": plain(75)})
TEXT_OPTION = shape({"text": text(75), "value": string(150, 1)}, {"description": text(75)})
OPTION_GROUP = shape({"label": plain(75), "options": listing(PLAIN_OPTION, 100)})
OPTIONS = listing(PLAIN_OPTION, 100)
OPTION_GROUPS = listing(OPTION_GROUP, 100)


def _exclusive(first: str, second: str) -> Rule:
    def check(value: object, path: str) -> Iterator[str]:
        if isinstance(value, dict) and (first in value) == (second in value):
            yield at(path, f"exactly one of {first} and {second} must be given")

    return check


def all_options(element: Mapping[str, Any]) -> list[dict[str, Any]]:
    """An element's own options, grouped or not."""
    groups = element.get("option_groups") or [{"options": element.get("options") or []}]
    return [option for group in groups for option in group.get("options", [])]


def _initial_is_offered(value: object, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    chosen = value.get("initial_option")
    if chosen is not None and chosen not in all_options(value):
        yield at(path, "initial option is not one of the options")


def _no_repeated_value(value: object, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        values = [str(option.get("value")) for option in all_options(value)]
        if len(values) != len(set(values)):
            yield at(path, "option values must be unique")


def _element(required: Mapping[str, Rule], optional: Mapping[str, Rule]) -> Rule:
    return shape(
        {"type": anything, **required},
        {"action_id": ID, "confirm": CONFIRM, **optional},
    )


_PLACEHOLDER: dict[str, Rule] = {"placeholder": plain(150)}
_CHOICE: dict[str, Rule] = {**_PLACEHOLDER, "options": OPTIONS, "option_groups": OPTION_GROUPS}
_INITIAL: dict[str, Rule] = {"initial_option": PLAIN_OPTION}
_OFFERS = both(_exclusive("options", "option_groups"), _initial_is_offered, _no_repeated_value)

BUTTON = _element(
    {"text": plain(75)},
    {
        "value": string(2000),
        "url": string(3000),
        "style": one_of("primary", "danger"),
    },
)

SELECTS: dict[str, Rule] = {
    "static_select": both(_element({}, {**_CHOICE, **_INITIAL}), _OFFERS),
}

CHOICES: dict[str, Rule] = {
    "checkboxes": both(_element({"options": listing(TEXT_OPTION, 10)}, {}), _no_repeated_value),
}

FIELDS: dict[str, Rule] = {
    "plain_text_input": _element(
        {},
        {
            **_PLACEHOLDER,
            "multiline": boolean,
            "max_length": integer(1, 3000),
        },
    ),
}

IN_SECTION = by_type({"button": BUTTON, **SELECTS, **CHOICES})
IN_ACTIONS = IN_SECTION
IN_INPUT = by_type({**FIELDS, **SELECTS, **CHOICES})
IN_CONTEXT = by_type({"plain_text": plain(3000), "mrkdwn": mrkdwn(3000)})
