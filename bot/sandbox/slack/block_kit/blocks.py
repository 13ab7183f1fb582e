"""Validates `blocks`: the kinds that each surface allows, and their limits.

Limits: docs.slack.dev, reference/block-kit/blocks. Only the blocks, elements and properties that
the bot uses are here; all others are rejected. A new one is added with its limits.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from bot.sandbox.slack.block_kit.elements import (
    BUTTONS,
    ID,
    INPUTS,
    mrkdwn,
    plain,
)
from bot.sandbox.slack.block_kit.rules import (
    Rule,
    anything,
    at,
    boolean,
    both,
    by_type,
    listing,
    shape,
)

Surface = Literal["message", "modal"]
MAX_BLOCKS: dict[Surface, int] = {"message": 50, "modal": 100}


def _block(required: dict[str, Rule], optional: dict[str, Rule] | None = None) -> Rule:
    return shape({"type": anything, **required}, {"block_id": ID, **(optional or {})})


def _own_action_ids(value: object, path: str) -> Iterator[str]:
    elements = value.get("elements") if isinstance(value, dict) else None
    given = [e.get("action_id") for e in elements or [] if isinstance(e, dict)]
    for action_id, times in Counter(a for a in given if a).items():
        if times > 1:
            yield at(path, f'action_id "{action_id}" already exists')


BLOCKS: dict[str, Rule] = {
    "section": _block({"text": mrkdwn(3000)}, {"accessory": BUTTONS}),
    "context": _block({"elements": listing(mrkdwn(3000), 10)}),
    "actions": both(_block({"elements": listing(BUTTONS, 25)}), _own_action_ids),
    "input": _block(
        {"label": plain(2000), "element": INPUTS}, {"hint": plain(2000), "optional": boolean}
    ),
}


def problems(blocks: object, surface: Surface, path: str = "/blocks") -> list[str]:
    """Return the reasons why Slack would reject these blocks on this surface."""
    least = 0 if surface == "message" else 1
    check = listing(by_type(BLOCKS), MAX_BLOCKS[surface], least)
    found = list(check(blocks, path))
    if not found and isinstance(blocks, list):
        found += _across(blocks, path)
    return found


def _across(blocks: list[dict[str, Any]], path: str) -> Iterator[str]:
    """Check the rules that span several blocks."""
    for block_id, times in Counter(b["block_id"] for b in blocks if b.get("block_id")).items():
        if times > 1:
            yield at(path, f'block_id "{block_id}" already exists')


def elements_of(blocks: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each interactive element with its block."""
    for block in blocks:
        if block["type"] == "input":
            yield block, block["element"]
        elif block["type"] == "actions":
            yield from ((block, element) for element in block["elements"])
        elif block["type"] == "section" and "accessory" in block:
            yield block, block["accessory"]
