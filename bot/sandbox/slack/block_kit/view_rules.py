"""Validates views, which are all modals.

Source: docs.slack.dev, surfaces/modals and reference/views.
"""

import json
from collections.abc import Iterator
from typing import Any

from bot.sandbox.slack.block_kit.blocks import problems
from bot.sandbox.slack.block_kit.elements import ID, plain
from bot.sandbox.slack.block_kit.rules import anything, at, one_of, shape, string
from bot.sandbox.slack.errors import ApiError

MAX_VIEW = 250_000  # bytes

_MODAL = shape(
    {"type": one_of("modal"), "title": plain(24), "blocks": anything},
    {
        "submit": plain(24),
        "close": plain(24),
        "private_metadata": string(3000),
        "callback_id": ID,
    },
)


def checked_view(view: object) -> dict[str, Any]:
    """Return the view when Slack would accept it.

    Raises:
        ApiError: `view_too_large` or `invalid_arguments`, with a sentence for each problem.
    """
    if len(json.dumps(view, ensure_ascii=False).encode()) > MAX_VIEW:
        raise ApiError("view_too_large")
    if not isinstance(view, dict):
        raise ApiError("invalid_arguments", [at("/view", "must be an object")])
    if found := list(_problems(view)):
        raise ApiError("invalid_arguments", found)
    return view


def _problems(view: dict[str, Any]) -> Iterator[str]:
    yield from _MODAL(view, "/view")
    blocks = view.get("blocks")
    yield from problems(blocks, "modal", "/view/blocks")
    kinds = [b.get("type") for b in blocks if isinstance(b, dict)] if type(blocks) is list else []
    if "input" in kinds and not view.get("submit"):
        yield at("/view/submit", "submit is required when an input block is present")
