"""Which blocks Slack takes on which surface, and the limits of each part."""

from typing import Any

import pytest

from bot.sandbox.slack.block_kit.blocks import Surface, problems

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def section(text: str = "text", **more: object) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def button(**more: object) -> Json:
    return {"type": "button", "text": plain("Go"), "action_id": "go", **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def field(**more: object) -> Json:
    element = {"type": "plain_text_input", "action_id": "why", **more}
    return {"type": "input", "label": plain("Why"), "element": element}


def boxes(*values: str) -> Json:
    options = [{"text": plain("text"), "value": value} for value in values]
    element = {"type": "checkboxes", "action_id": "boxes", "options": options}
    return {"type": "input", "label": plain("Which"), "element": element}


def less_than(characters: int) -> str:
    return f"must be less than {characters} characters"


LONG = plain("x" * 76)
#: A surface, its blocks, the error of Slack, and its path in the blocks.
WRONG: list[tuple[Surface, list[Json], str, str]] = [
    ("message", [{"type": "table", "rows": []}], "unsupported type: table", "0/type"),
    ("message", [section()] * 51, "no more than 50 items allowed", ""),
    ("modal", [section()] * 101, "no more than 100 items allowed", ""),
    ("modal", [], "no fewer than 1 items allowed", ""),
    ("message", [section("x" * 3001)], less_than(3001), "0/text/text"),
    ("message", [section("")], "must be more than 0 characters", "0/text/text"),
    ("message", [{"type": "section"}], "missing required field: text", "0"),
    ("message", [section(colour="red")], "invalid additional property: colour", "0"),
    (
        "message",
        [{"type": "context", "elements": [plain("a")]}],
        "must be one of: mrkdwn",
        "0/elements/0/type",
    ),
    ("message", [actions(button(text=LONG))], less_than(76), "0/elements/0/text/text"),
    ("message", [actions(button(value="x" * 2001))], less_than(2001), "0/elements/0/value"),
    (
        "message",
        [actions(button(style="default"))],
        "must be one of: primary, danger",
        "0/elements/0/style",
    ),
    ("message", [actions(button(), button())], 'action_id "go" already exists', "0"),
    ("message", [section(block_id="a"), section(block_id="a")], 'block_id "a" already exists', ""),
    ("modal", [boxes("x" * 151)], less_than(151), "0/element/options/0/value"),
    ("modal", [boxes(*"abcdefghijk")], "no more than 10 items allowed", "0/element/options"),
    ("modal", [boxes("a", "a")], "option values must be unique", "0/element"),
    (
        "message",
        [actions({"type": "plain_text_input", "action_id": "a"})],
        "unsupported type: plain_text_input",
        "0/elements/0/type",
    ),
    (
        "modal",
        [field(max_length=3001)],
        "must be an integer from 1 to 3000",
        "0/element/max_length",
    ),
]


@pytest.mark.parametrize(("surface", "blocks", "what", "where"), WRONG)
def test_invalid_blocks_are_rejected_with_the_path(
    surface: Surface, blocks: list[Json], what: str, where: str
) -> None:
    pointer = f"/blocks/{where}" if where else "/blocks"

    assert problems(blocks, surface) == [f"{what} [json-pointer:{pointer}]"]


def test_blocks_that_are_not_a_list_are_rejected() -> None:
    assert problems("section", "message") == ["must be an array [json-pointer:/blocks]"]
    assert problems(["section"], "message") == ["must be an object [json-pointer:/blocks/0]"]
