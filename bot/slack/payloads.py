"""Which request a payload is about, and what it is called in spans (pure)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bot.cancellation.request_context import is_request_id
from bot.slack import ids

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The buttons of a card; their value is the request's id.
OF_A_CARD = frozenset({ids.APPROVE, ids.DENY, ids.WITHDRAW, ids.RETRY})

#: The key of a dialog's metadata that holds the id.
KEY = "request"

#: Longer names are not ours.
LONGEST_NAME = 60


def request_in(body: Mapping[str, Any]) -> str | None:
    """Read the id of the request that a payload is about, or that its dialog may become."""
    action = _action(body)
    if action.get("action_id") in OF_A_CARD:
        return _id(action.get("value"))
    metadata = str(_part(body, "view").get("private_metadata") or "")
    return _id(metadata) or _id(_values(metadata).get(KEY))


def may_begin(body: Mapping[str, Any]) -> bool:
    """Say whether a payload may open a dialog for a request that there is not yet."""
    opens = _action(body).get("action_id") == ids.OPEN
    return opens or "command" in body or body.get("type") == "message_action"


def name_of(body: Mapping[str, Any]) -> str:
    """Name a payload by its kind and its own id: `action cancel_restore_approve`."""
    if "command" in body:
        return f"command {body['command']}"[:LONGEST_NAME]
    kind = str(body.get("type") or "payload")
    own = (
        _action(body).get("action_id")
        or body.get("action_id")
        or body.get("callback_id")
        or _part(body, "view").get("callback_id")
        or _part(body, "event").get("type")
    )
    return (f"{kind} {own}" if own else kind)[:LONGEST_NAME]


def with_request(values: dict[str, Any], request: str | None) -> dict[str, Any]:
    """Add the id to a dialog's metadata."""
    return values | ({KEY: request} if request else {})


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and is_request_id(value) else None


def _action(body: Mapping[str, Any]) -> Mapping[str, Any]:
    actions = body.get("actions")
    first = actions[0] if isinstance(actions, list) and actions else None
    return first if isinstance(first, dict) else {}


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = body.get(name)
    return part if isinstance(part, dict) else {}


def _values(metadata: str) -> Mapping[str, Any]:
    try:
        values = json.loads(metadata)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
