"""Validates views (modals and Home tabs).

Source: docs.slack.dev, surfaces/modals and reference/views.
"""

import json
from collections.abc import Iterator
from typing import Any

from bot.sandbox.slack.block_kit.blocks import problems
from bot.sandbox.slack.block_kit.elements import ID, plain
from bot.sandbox.slack.block_kit.rules import Rule, anything, at, one_of, shape, string
from bot.sandbox.slack.errors import ApiError

MAX_VIEW = 250_000  # bytes

_COMMON: dict[str, Rule] = {
    "private_metadata": string(3000),
    "callback_id": ID,
    "external_id": ID,
}
_MODAL = shape(
    {"type": one_of("modal"), "title": plain(24), "blocks": anything},
    {"submit": plain(24), "close": plain(24), **_COMMON},
)
_HOME = shape({"type": one_of("home"), "blocks": anything}, _COMMON)


def checked_view(view: object, kind: str = "modal") -> dict[str, Any]:
    """Return the view when Slack would accept it.

    Raises:
        ApiError: `view_too_large` or `invalid_arguments`, with a sentence for each problem.
    """
    if len(json.dumps(view, ensure_ascii=False).encode()) > MAX_VIEW:
        raise ApiError("view_too_large")
    if not isinstance(view, dict):
        raise ApiError("invalid_arguments", [at("/view", "must be an object")])
    if found := view_problems(view, kind, "/view"):
        raise ApiError("invalid_arguments", found)
    return view


def view_problems(view: dict[str, Any], kind: str, path: str) -> list[str]:
    """Return the reasons why Slack would reject a view; `path` is the JSON pointer to it."""
    return list(_faults(view, kind, path))


def _faults(view: dict[str, Any], kind: str, path: str) -> Iterator[str]:
    yield from (_MODAL if kind == "modal" else _HOME)(view, path)
    blocks = view.get("blocks")
    yield from problems(blocks, "modal" if kind == "modal" else "home", f"{path}/blocks")
    kinds = [b.get("type") for b in blocks if isinstance(b, dict)] if type(blocks) is list else []
    if kind == "modal" and "input" in kinds and not view.get("submit"):
        yield at(f"{path}/submit", "submit is required when an input block is present")
