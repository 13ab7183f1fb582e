"""Block Kit's elements and composition objects with their limits, as tables.

Limits: docs.slack.dev, reference/block-kit (composition objects, block elements).
"""

from collections.abc import Iterator, Mapping

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
    """A mrkdwn object of 1 to `most` characters."""
    return shape({"type": one_of("mrkdwn"), "text": string(most, 1)}, {"verbatim": boolean})


OPTION = shape({"text": plain(75), "value": string(150, 1)})


def _no_repeated_value(value: object, path: str) -> Iterator[str]:
    options = value.get("options") if isinstance(value, dict) else None
    if isinstance(options, list):
        values = [str(option.get("value")) for option in options if isinstance(option, dict)]
        if len(values) != len(set(values)):
            yield at(path, "option values must be unique")


def _element(required: Mapping[str, Rule], optional: Mapping[str, Rule]) -> Rule:
    return shape({"type": anything, **required}, {"action_id": ID, **optional})


BUTTONS = by_type(
    {
        "button": _element(
            {"text": plain(75)}, {"value": string(2000), "style": one_of("primary", "danger")}
        )
    }
)

INPUTS = by_type(
    {
        "plain_text_input": _element({}, {"multiline": boolean, "max_length": integer(1, 3000)}),
        "checkboxes": both(_element({"options": listing(OPTION, 10)}, {}), _no_repeated_value),
    }
)
