"""Validates Slack's payloads before Bolt and the handlers read them.

The types hold the fields that Bolt or a handler reads; Bolt fails with a traceback where one has
another type. Optional fields may be missing or null; other fields are ignored.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Required, TypeAlias
from urllib.parse import parse_qsl

from pydantic import Field, TypeAdapter, ValidationError
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.socket_mode.request import SocketModeRequest
from typing_extensions import TypedDict

#: Answers a payload: `async_dispatch` of Bolt's app.
Dispatch: TypeAlias = Callable[[AsyncBoltRequest], Awaitable[BoltResponse]]

#: The problem that readiness reports before `start` and after `stop`.
NOT_RUNNING = "The bot is starting, or stopping."

Text = str | None
Id = Annotated[str, Field(min_length=1)]
Object = dict[str, Any]

# ruff: noqa: UP013 - one line each
Person = TypedDict("Person", {"id": Required[Id], "team_id": Text}, total=False)
Place = TypedDict("Place", {"id": Text}, total=False)
Container = TypedDict("Container", {"channel_id": Text, "message_ts": Text}, total=False)
Option = TypedDict("Option", {"value": Text}, total=False)
Input = TypedDict("Input", {"value": Text, "selected_option": Option | None}, total=False)
State = TypedDict("State", {"values": dict[str, dict[str, Input]] | None}, total=False)
Block = TypedDict("Block", {"block_id": Text}, total=False)


class ActionPayload(Input, total=False):
    action_id: Required[Id]
    block_id: Required[Id]


class View(TypedDict, total=False):
    id: Required[Id]
    type: Text
    callback_id: Text
    team_id: Text
    private_metadata: Text
    blocks: list[Block] | None
    state: State | None


class EventPayload(TypedDict, total=False):
    type: Required[Id]
    tab: Text
    view: View | None


class Payload(TypedDict, total=False):
    user: Person | None
    team: Place | None
    enterprise: Place | None
    channel: Place | None
    container: Container | None
    view: View | None
    state: State | None
    actions: list[ActionPayload] | None
    message: Object | None
    event: EventPayload  # if present, Bolt requires an object
    authorizations: list[Object] | None
    response_urls: list[Object] | None
    trigger_id: Text
    response_url: Text
    action_id: Text
    callback_id: Text
    value: Text
    command: Text
    text: Text
    user_id: Text
    team_id: Text
    enterprise_id: Text
    channel_id: Text


_PAYLOAD: Final = TypeAdapter(Payload)
#: Fields without which a payload of a type is useless; none of them may be empty.
COMMAND: Final = ("command", "user_id")
INTERACTIONS: Final[dict[str, tuple[str, ...]]] = {
    "block_actions": ("user", "actions"),
    "block_suggestion": ("user", "action_id"),
    "view_submission": ("user", "view.type", "view.callback_id"),
    "view_closed": ("user", "view.type", "view.callback_id"),
    "shortcut": ("user", "callback_id"),
    "message_action": ("user", "callback_id", "message"),
}
EVENTS: Final[dict[str, tuple[str, ...]]] = {
    "event_callback": ("event",),
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
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidPayload(f"The {name} is not JSON.") from None
    if not isinstance(value, dict):
        raise InvalidPayload(f"The {name} is not a JSON object.")
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
        _PAYLOAD.validate_python(value, strict=True)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_input=False)[0]["loc"]))
        raise InvalidPayload(f"The {name} has a missing or invalid {place}.") from None
    except (UnicodeEncodeError, RecursionError):
        raise InvalidPayload(f"The {name} has unpaired surrogates.") from None
    for field in required:
        outer, _, inner = field.partition(".")
        found = value.get(outer)
        if not (found.get(inner) if inner and isinstance(found, dict) else found):
            raise InvalidPayload(f"The {name} has a missing or invalid {field}.")
