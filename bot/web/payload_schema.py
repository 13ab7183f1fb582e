"""Tells whether a body has the shape of something that Slack sends: pure functions over bytes.

Bolt reads these fields without looking whether they are there, and so do listeners.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: A text, a list of one shape, or an object: what is not named in it may be anything.
Shape: TypeAlias = "str | list[Shape] | dict[str, Shape]"

TEXT: Final = "text"
#: Stands for every key of an object.
EACH: Final = "*"

_PERSON: Shape = {"id": TEXT, "team_id": TEXT}
_PLACE: Shape = {"id": TEXT}
_OPTION: Shape = {"value": TEXT, "text": {"text": TEXT}}
_INPUT: Shape = {"value": TEXT, "selected_option": _OPTION}
_VIEW: Shape = {
    "id": TEXT,
    "type": TEXT,
    "callback_id": TEXT,
    "team_id": TEXT,
    "private_metadata": TEXT,
    "blocks": [{"block_id": TEXT}],
    "state": {"values": {EACH: {EACH: _INPUT}}},
}
_ACTION: Shape = {
    "action_id": TEXT,
    "block_id": TEXT,
    "value": TEXT,
    "selected_option": _OPTION,
}

#: What holds wherever it is there and not null.
SHAPE: dict[str, Shape] = {
    "user": _PERSON,
    "team": _PLACE,
    "enterprise": _PLACE,
    "channel": _PLACE,
    "container": {"channel_id": TEXT, "message_ts": TEXT},
    "view": _VIEW,
    "state": {"values": {EACH: {EACH: _INPUT}}},
    "actions": [_ACTION],
    "message": {},
    "event": {"type": TEXT, "tab": TEXT, "view": _VIEW},
    "authorizations": [{}],
    "response_urls": [{}],
    "trigger_id": TEXT,
    "response_url": TEXT,
    "action_id": TEXT,
    "callback_id": TEXT,
    "value": TEXT,
    "command": TEXT,
    "text": TEXT,
    "user_id": TEXT,
    "team_id": TEXT,
    "enterprise_id": TEXT,
    "channel_id": TEXT,
}

#: What Bolt takes for an object if it is there at all.
NEVER_NULL = frozenset({"event"})

#: What must be there, by the type of the payload; a dot leads into an object, or each of a list.
INTERACTIONS: dict[str, tuple[str, ...]] = {
    "block_actions": ("user.id", "actions.action_id", "actions.block_id"),
    "block_suggestion": ("user.id", "action_id"),
    "view_submission": ("user.id", "view.id", "view.type", "view.callback_id"),
    "view_closed": ("user.id", "view.id", "view.type", "view.callback_id"),
    "shortcut": ("user.id", "callback_id"),
    "message_action": ("user.id", "callback_id", "message"),
}
EVENTS: dict[str, tuple[str, ...]] = {
    "event_callback": ("event.type",),
    "url_verification": ("challenge",),
    "app_rate_limited": (),
}
COMMAND = ("command", "user_id")
#: Slack's way to see whether a certificate is good.
CERTIFICATE_CHECK = ("ssl_check",)


class Misshapen(ValueError):
    """This is nothing that Slack sends; the text says why."""


def read_body(content_type: str, charset: str | None, body: bytes) -> dict[str, Any]:
    """Read what Slack posts; raises `Misshapen`."""
    if (charset or "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise Misshapen("The body must be in UTF-8.")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Misshapen("The body is not UTF-8.") from None
    if content_type == "application/json":
        return _object(text, "body", EVENTS)
    if content_type == "application/x-www-form-urlencoded":
        return _form(text)
    raise Misshapen("The body must be a form or JSON.")


def what_is_wrong(kind: str, payload: Mapping[str, Any]) -> str | None:
    """Say why nobody could read an envelope of Socket Mode, or nothing.

    Args:
        kind: the envelope's type.
        payload: what is in it.
    """
    try:
        if kind == "slash_commands":
            _check(payload, "payload", COMMAND)
        elif kind in ("interactive", "events_api"):
            _check_typed(payload, "payload", INTERACTIONS if kind == "interactive" else EVENTS)
        else:
            return "The envelope is of no type that is known here."
    except Misshapen as error:
        return str(error)
    return None


def _form(text: str) -> dict[str, Any]:
    """A form is a slash command, a check of the certificate, or an interaction in `payload`."""
    fields: dict[str, Any] = dict(parse_qsl(text, keep_blank_values=True))
    if "payload" in fields:
        return _object(fields["payload"], "payload", INTERACTIONS)
    if fields.get("command"):
        _check(fields, "form", COMMAND)
    elif "ssl_check" not in fields:
        raise Misshapen("The form has neither a command nor a payload.")
    return fields


def _object(text: str, name: str, known: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Misshapen(f"The {name} is not JSON.") from None
    if not isinstance(value, dict):
        raise Misshapen(f"The {name} is not a JSON object.")
    _check_typed(value, name, known)
    return value


def _check_typed(value: Mapping[str, Any], name: str, known: dict[str, tuple[str, ...]]) -> None:
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in known:
        raise Misshapen(f"The {name} is of no type that is known here.")
    _check(value, name, known[kind])


def _check(value: Mapping[str, Any], name: str, needed: tuple[str, ...]) -> None:
    for field, shape in SHAPE.items():
        null = field in value and value[field] is None and field in NEVER_NULL
        if null or not _fits(value.get(field), shape):
            raise Misshapen(f"The {name} has a misshapen {field}.")
    # Wherever there is a view, it can be named.
    for path in (*needed, *(["view.id"] if value.get("view") else [])):
        if not all(_found(value, path.split("."))):
            raise Misshapen(f"The {name} has no {path}.")
    if not _is_unicode(value):
        raise Misshapen(f"The {name} has halves of characters.")


def _is_unicode(value: object) -> bool:
    """Whether it can be written: JSON's escapes can spell half of a pair, which nobody can send."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _fits(value: object, shape: Shape) -> bool:
    """Whether a value is null, or has the shape."""
    if value is None:
        return True
    if isinstance(shape, str):
        return isinstance(value, str)
    if isinstance(shape, list):
        return isinstance(value, list) and all(
            item is not None and _fits(item, shape[0]) for item in value
        )
    if not isinstance(value, dict):
        return False
    if EACH in shape:
        return all(_fits(each, shape[EACH]) for each in value.values())
    return all(_fits(value.get(key), inner) for key, inner in shape.items())


def _found(value: Any, path: list[str]) -> Iterator[bool]:  # noqa: ANN401 - JSON that fits `SHAPE`
    """Say of each place that a path leads to whether something is there."""
    if isinstance(value, list):
        yield bool(value)
        for item in value:
            yield from _found(item, path)
    elif path and isinstance(value, dict):
        yield from _found(value.get(path[0]), path[1:])
    else:
        yield bool(value) and not path
