"""Which blocks Slack takes on which surface, and the limits of each part."""

from typing import Any

import pytest

from bot.sandbox.slack.block_kit.blocks import Surface, problems

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def option(value: str, text: str = "text") -> Json:
    return {"text": plain(text), "value": value}


def section(text: str = "text", **more: object) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def button(**more: object) -> Json:
    return {"type": "button", "text": plain("Go"), "action_id": "go", **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def select(**more: object) -> Json:
    return {"type": "static_select", "action_id": "pick", **more}


ALERT = {"type": "alert", "text": plain("Mind."), "level": "warning"}
INPUT = {
    "type": "input",
    "label": plain("Why"),
    "element": {"type": "plain_text_input", "action_id": "why", "max_length": 3000},
}


def less_than(characters: int) -> str:
    return f"must be less than {characters} characters"


LONG = plain("x" * 76)
#: A surface, its blocks, the error of Slack, and its path in the blocks.
WRONG: list[tuple[Surface, list[Json], str, str]] = [
    ("message", [ALERT], "unsupported type: alert", "0/type"),
    ("home", [ALERT], "unsupported type: alert", "0/type"),
    ("message", [{"type": "table", "rows": []}], "unsupported type: table", "0/type"),
    ("message", [section()] * 51, "no more than 50 items allowed", ""),
    ("modal", [section()] * 101, "no more than 100 items allowed", ""),
    ("modal", [], "no fewer than 1 items allowed", ""),
    ("message", [section("x" * 3001)], less_than(3001), "0/text/text"),
    ("message", [section("")], "must be more than 0 characters", "0/text/text"),
    ("message", [{"type": "section"}], "either text or fields must be given", "0"),
    ("message", [section(colour="red")], "invalid additional property: colour", "0"),
    (
        "message",
        [{"type": "header", "text": {"type": "mrkdwn", "text": "a"}}],
        "must be one of: plain_text",
        "0/text/type",
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
    (
        "modal",
        [section(accessory=select(options=[option("x" * 151)]))],
        less_than(151),
        "0/accessory/options/0/value",
    ),
    (
        "modal",
        [section(accessory=select(options=[option(str(n)) for n in range(101)]))],
        "no more than 100 items allowed",
        "0/accessory/options",
    ),
    (
        "modal",
        [section(accessory=select(options=[option("a")], initial_option=option("b")))],
        "initial option is not one of the options",
        "0/accessory",
    ),
    (
        "modal",
        [section(accessory=select(options=[option("a"), option("a", "other")]))],
        "option values must be unique",
        "0/accessory",
    ),
    (
        "modal",
        [section(accessory=select())],
        "exactly one of options and option_groups must be given",
        "0/accessory",
    ),
    (
        "message",
        [actions({"type": "plain_text_input", "action_id": "a"})],
        "unsupported type: plain_text_input",
        "0/elements/0/type",
    ),
    ("modal", [{**ALERT, "text": plain("x" * 201)}], less_than(201), "0/text/text"),
    (
        "modal",
        [{**INPUT, "element": {"type": "plain_text_input", "max_length": 3001}}],
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


def test_confirm_dialog_has_its_own_limits() -> None:
    confirm = {
        "title": plain("x" * 101),
        "text": plain("x" * 301),
        "confirm": plain("x" * 31),
        "deny": plain("No"),
    }

    found = problems([actions(button(confirm=confirm))], "message")

    assert [sentence.rsplit("/", 2)[1] for sentence in found] == ["title", "text", "confirm"]


def test_blocks_that_are_not_a_list_are_rejected() -> None:
    assert problems("section", "message") == ["must be an array [json-pointer:/blocks]"]
    assert problems(["section"], "message") == ["must be an object [json-pointer:/blocks/0]"]
