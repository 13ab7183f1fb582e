"""Reads Slack's payloads before Bolt and the listeners do; one that lacks a field is refused.

Slack signs them, so what a listener reads beside the required fields is not checked here.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.slack.blockkit import read_object

#: Answers a payload: `async_dispatch` of Bolt's app.
Dispatch: TypeAlias = Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]

#: The problem that readiness reports before `start` and after `stop`.
NOT_RUNNING = "The bot is starting, or stopping."

Object: TypeAlias = dict[str, Any]

#: The ids of workspaces, which are compared; each may be missing.
TEAMS: Final = ("user.team_id", "team.id", "enterprise.id", "team_id", "enterprise_id")
#: The fields without which a payload of a type is useless, within the first item of a list.
COMMAND: Final = ("command", "user_id")
VIEW: Final = ("user.id", "view.id", "view.type", "view.callback_id")
INTERACTIONS: Final[dict[str, tuple[str, ...]]] = {
    "block_actions": ("user.id", "actions.action_id"),
    "block_suggestion": ("user.id", "action_id"),
    "view_submission": VIEW,
    "view_closed": VIEW,
    "shortcut": ("user.id", "callback_id"),
    "message_action": ("user.id", "callback_id"),
}
EVENTS: Final[dict[str, tuple[str, ...]]] = {
    "event_callback": ("event.type",),
    "url_verification": ("challenge",),
    "app_rate_limited": (),
}


class InvalidPayload(ValueError):
    """The payload does not have the form that Slack gives it; the text says where."""


def read_body(content_type: str, charset: str | None, body: bytes) -> AsyncBoltRequest:
    """Parse and validate the body of a request from Slack; raises `InvalidPayload`."""
    if (charset or "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise InvalidPayload("The body must be in UTF-8.")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidPayload("The body is not UTF-8.") from None
    if content_type == "application/json":
        return _bolt_request(_parse(text, "body", EVENTS))
    if content_type == "application/x-www-form-urlencoded":
        return _bolt_request(_parse_form(text))
    raise InvalidPayload("The body must be a form or JSON.")


def read_payload(envelope: SocketModeRequest) -> AsyncBoltRequest:
    """Validate the payload of a Socket Mode envelope; raises `InvalidPayload`."""
    payload = envelope.payload
    match envelope.type:
        case "slash_commands":
            _validate(payload, "payload", COMMAND)
        case "interactive":
            _validate_typed(payload, "payload", INTERACTIONS)
        case "events_api":
            _validate_typed(payload, "payload", EVENTS)
        case _:
            raise InvalidPayload("The envelope has an unknown type.")
    return _bolt_request(payload)


def _bolt_request(payload: Object) -> AsyncBoltRequest:
    """Build Bolt's request from a validated payload.

    Bolt must not parse HTTP bodies itself: it takes every form that contains the word "payload"
    for an interaction, and so loses commands about a cluster with that name. It gets no header,
    because Slack's signature covers none.
    """
    try:
        return AsyncBoltRequest(mode="socket_mode", body=payload)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        # A field has an unexpected type.
        raise InvalidPayload("Bolt cannot read this payload.") from error


def _parse_form(text: str) -> Object:
    """Parse a form: a slash command, a certificate check, or an interaction in `payload`."""
    fields: Object = dict(parse_qsl(text, keep_blank_values=True))
    if "payload" in fields:
        return _parse(fields["payload"], "payload", INTERACTIONS)
    if fields.get("command"):
        _validate(fields, "form", COMMAND)
    elif "ssl_check" not in fields:
        raise InvalidPayload("The form has neither a command nor a payload.")
    return fields


def _parse(text: str, name: str, types: dict[str, tuple[str, ...]]) -> Object:
    value = read_object(text)
    _validate_typed(value, name, types)
    return value


def _validate_typed(value: Mapping[str, Any], name: str, types: dict[str, tuple[str, ...]]) -> None:
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in types:
        raise InvalidPayload(f"The {name} has an unknown type.")
    _validate(value, name, types[kind])


def _validate(value: Mapping[str, Any], name: str, required: tuple[str, ...]) -> None:
    try:
        # A JSON escape can encode half of a surrogate pair, which no later call could send.
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        raise InvalidPayload(f"The {name} has unpaired surrogates.") from None
    wrong = [path for path in required if not _at(value, path)]
    wrong += [path for path in (*required, *TEAMS) if not isinstance(_at(value, path), str | None)]
    if wrong:
        raise InvalidPayload(f"The {name} has a missing or invalid {wrong[0]}.")
    if not isinstance(value.get("event", {}), dict):  # as Bolt requires of every payload
        raise InvalidPayload(f"The {name} has a missing or invalid event.")


def _at(value: object, path: str) -> object:
    """Return the value at a path; None where there is none."""
    for key in path.split("."):
        part = value[0] if isinstance(value, list) and value else value
        value = part.get(key) if isinstance(part, dict) else None
    return value
