"""Verifies Slack's signature, and validates payloads before Bolt and the handlers read them.

The types hold the fields that Bolt or a handler reads; Bolt fails with a traceback where one has
another type. Optional fields may be missing or null; other fields are ignored.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Required
from urllib.parse import parse_qsl

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import Field, SecretStr, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from bot.log_throttle import LogThrottle

Text = str | None
Id = Annotated[str, Field(min_length=1)]
Object = dict[str, Any]

# ruff: noqa: UP013 - one line each
Person = TypedDict("Person", {"id": Required[Id], "team_id": Text}, total=False)
Place = TypedDict("Place", {"id": Text}, total=False)
Container = TypedDict("Container", {"channel_id": Text, "message_ts": Text}, total=False)
Label = TypedDict("Label", {"text": Text}, total=False)
Option = TypedDict("Option", {"value": Text, "text": Label | None}, total=False)
Input = TypedDict("Input", {"value": Text, "selected_option": Option | None}, total=False)
State = TypedDict("State", {"values": dict[str, dict[str, Input]] | None}, total=False)
Block = TypedDict("Block", {"block_id": Text}, total=False)


class Action(Input, total=False):
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


class Event(TypedDict, total=False):
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
    actions: list[Action] | None
    message: Object | None
    event: Event  # Bolt takes it for an object wherever the key is present
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


def read_body(content_type: str, charset: str | None, body: bytes) -> Object:
    """Parse the body of a request from Slack; raises `InvalidPayload`."""
    if (charset or "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise InvalidPayload("The body must be in UTF-8.")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InvalidPayload("The body is not UTF-8.") from None
    if content_type == "application/json":
        return _parse(text, "body", EVENTS)
    if content_type == "application/x-www-form-urlencoded":
        return _parse_form(text)
    raise InvalidPayload("The body must be a form or JSON.")


def envelope_problem(kind: str, payload: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the payload of a Socket Mode envelope of type `kind`, or None."""
    try:
        if kind == "slash_commands":
            _validate(payload, "payload", COMMAND)
        elif kind in ("interactive", "events_api"):
            _validate_typed(payload, "payload", INTERACTIONS if kind == "interactive" else EVENTS)
        else:
            return "The envelope has an unknown type."
    except InvalidPayload as error:
        return str(error)
    return None


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


PATH = "/slack/events"
#: Key of the parsed payload in the request.
PAYLOAD = web.RequestKey("PAYLOAD", dict)
#: Seconds, from https://docs.slack.dev/authentication/verifying-requests-from-slack
MAX_SIGNATURE_AGE = 300
#: The application's `client_max_size`: a view may have 250 kB, which percent-encoding may triple.
MAX_BODY_BYTES = 1024 * 1024

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)

UNSIGNED = (
    "A request to Slack's path is not signed with SLACK_SIGNING_SECRET, or is too old."
    " If commands fail in Slack, check that variable and the clock."
)

log = structlog.stdlib.get_logger(__name__)


def verify_slack_requests(signing_secret: SecretStr, clock: Callable[[], float]) -> Middleware:
    """Return the middleware; requests to other paths than `PATH` pass.

    It answers 405 to methods other than POST, 401 to requests that Slack did not sign within five
    minutes, and 400 to signed requests that are malformed. aiohttp answers 413 to bodies larger
    than the application's `client_max_size`. `clock` returns seconds since 1970.
    """
    key = signing_secret.get_secret_value().encode()
    unsigned = LogThrottle()  # anyone can send them

    @web.middleware
    async def verify(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path != PATH:
            return await handler(request)
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        body = await request.read()
        if not is_signed(key, request.headers, body, clock()):
            if count := unsigned.count():
                log.warning(UNSIGNED, requests=count)
            text = "This request is not signed by Slack, or is too old."
            return web.Response(status=401, text=text)
        try:
            request[PAYLOAD] = read_body(request.content_type, request.charset, body)
        except InvalidPayload as error:
            return _refuse(400, str(error))
        return await handler(request)

    return verify


def payload_of(request: web.Request) -> dict[str, Any]:
    """Return the parsed payload; raises `KeyError` for a request that was not verified."""
    payload: dict[str, Any] = request[PAYLOAD]
    return payload


def is_signed(key: bytes, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether `headers` carry a signature of `body` by `key` that is at most five minutes old."""
    timestamp = headers.get("X-Slack-Request-Timestamp", "")
    signature = headers.get("X-Slack-Signature", "")
    if not _TIMESTAMP.fullmatch(timestamp) or not _SIGNATURE.fullmatch(signature):
        return False
    if abs(now - int(timestamp)) > MAX_SIGNATURE_AGE:
        return False
    digest = hmac.new(key, b"v0:" + timestamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"v0={digest}", signature)


def _refuse(status: int, why: str) -> web.Response:
    log.info("refused a request to Slack's path", status=status, why=why)
    return web.Response(status=status, text=why)
