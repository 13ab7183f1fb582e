"""Tells whether a body has the shape of something that Slack sends: pure functions over bytes.

Bolt reads these fields without looking whether they are there, and so do listeners.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

#: What must be there, by the type of the payload.
PAYLOADS: dict[str, tuple[str, ...]] = {
    "block_actions": ("user", "actions"),
    "block_suggestion": ("user", "action_id"),
    "view_submission": ("user", "view"),
    "view_closed": ("user", "view"),
    "shortcut": ("user", "callback_id"),
    "message_action": ("user", "callback_id", "message"),
}
EVENTS: dict[str, tuple[str, ...]] = {
    "event_callback": ("event",),
    "url_verification": (),
    "app_rate_limited": (),
}

#: The texts that each of these must have, or each object in it.
PARTS: dict[str, tuple[str, ...]] = {
    "user": ("id",),
    "view": ("callback_id", "type"),
    "event": ("type",),
    "actions": ("action_id",),
}

#: What may be missing or null, but is an object otherwise.
OBJECTS = frozenset(
    {"user", "view", "message", "event", "team", "enterprise", "channel", "container", "state"}
)
#: The same for lists of objects.
LISTS = frozenset({"actions", "authorizations"})
#: The same for texts.
TEXTS = frozenset({"action_id", "callback_id"})


def what_is_wrong(content_type: str, charset: str | None, body: bytes) -> str | None:
    """Say why nobody could read the request, or nothing."""
    if (charset or "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        return "The body must be in UTF-8."
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "The body is not UTF-8."
    if content_type == "application/json":
        return _wrong_with_object(text, "body", EVENTS)
    if content_type == "application/x-www-form-urlencoded":
        return _wrong_with_form(text)
    return "The body must be a form or JSON."


def _wrong_with_form(text: str) -> str | None:
    """A form is a slash command, a check of the certificate, or an interaction in `payload`."""
    try:
        fields = parse_qs(text, keep_blank_values=True)
    except ValueError:
        return "The form has too many fields."
    if "payload" in fields:
        return _wrong_with_object(fields["payload"][0], "payload", PAYLOADS)
    if fields.get("command", [""])[0] or "ssl_check" in fields:
        return None
    return "The form has neither a command nor a payload."


def _wrong_with_object(text: str, name: str, known: dict[str, tuple[str, ...]]) -> str | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return f"The {name} is not JSON."
    if not isinstance(value, dict):
        return f"The {name} is not a JSON object."
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in known:
        return f"The {name} is of no type that is known here."
    missing = next((field for field in known[kind] if not value.get(field)), None)
    if missing is not None:
        return f"The {name} has no {missing}."
    misshapen = next((field for field in value if not _is_in_shape(field, value[field])), None)
    if misshapen is not None:
        return f"The {name} has a misshapen {misshapen}."
    unnamed = next((field for field in known[kind] if not _is_named(field, value[field])), None)
    return None if unnamed is None else f"The {name} has a {unnamed} without name or type."


def _is_in_shape(field: str, value: object) -> bool:
    if value is None:
        return field != "event"
    if field in LISTS:
        return isinstance(value, list) and all(isinstance(item, dict) for item in value)
    if field in TEXTS:
        return isinstance(value, str)
    return field not in OBJECTS or isinstance(value, dict)


def _is_named(field: str, value: Any) -> bool:  # noqa: ANN401 - JSON whose shape was just checked
    """Whether `value`, or each object in it, has the texts by which it is told from others."""
    found = value if isinstance(value, list) else [value]
    return all(isinstance(item.get(key), str) for item in found for key in PARTS.get(field, ()))
