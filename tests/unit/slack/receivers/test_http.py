"""Requests to `/slack/events` are verified before Bolt reads them."""

import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession, web
from pydantic import SecretStr
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.signature import Clock
from structlog.testing import capture_logs

from bot.slack.manifest import PATH
from bot.slack.receivers.http import HttpReceiver
from bot.slack.receivers.payloads import NOT_RUNNING
from tests.support.web import serving

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
NOW = 1_700_000_000
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
COMMAND = urlencode({"command": "/cancel-restore", "text": "help", "user_id": "U1"}).encode()
USER = {"id": "U1", "team_id": "T1"}
VIEW = {"id": "V1", "type": "modal", "callback_id": "cancel_restore", "state": {"values": {}}}
ACTIONS = [{"action_id": "a", "block_id": "b", "type": "button"}]
PAYLOADS: dict[str, dict[str, Any]] = {
    "block_actions": {"user": USER, "actions": ACTIONS},
    "block_suggestion": {"user": USER, "action_id": "a", "block_id": "b", "value": "x"},
    "view_submission": {"user": USER, "view": VIEW},
    "view_closed": {"user": USER, "view": VIEW},
    "message_action": {"user": USER, "message": {"ts": "1.2"}, "callback_id": "s"},
    "shortcut": {"user": USER, "callback_id": "s"},
}
NO_EVENT = "The body has a missing or invalid event.type."
SURROGATES = "The body has unpaired surrogates."
ODD: list[object] = [None, 1, "x", "", [], [1], [None], {}, {"id": 1}, {"id": None}, [{}]]


def signature(body: bytes, timestamp: str = str(NOW), secret: str = SECRET) -> str:
    base = f"v0:{timestamp}:".encode() + body
    return "v0=" + hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()


def signed(body: bytes, content_type: str = FORM, **headers: str) -> dict[str, Any]:
    own = {
        "Content-Type": content_type,
        "X-Slack-Request-Timestamp": str(NOW),
        "X-Slack-Signature": signature(body),
    }
    return {"data": body, "headers": own | {k.replace("_", "-"): v for k, v in headers.items()}}


class Noon(Clock):
    def now(self) -> float:
        return NOW


async def echo(req: AsyncBoltRequest) -> BoltResponse:
    return BoltResponse(status=200, body=json.dumps(req.body))


def receiver() -> HttpReceiver:
    return HttpReceiver(SecretStr(SECRET), Noon())


def app_with(receiver: HttpReceiver) -> web.Application:
    app = web.Application(client_max_size=2000)
    receiver.add_route(app)
    return app


@pytest.fixture
async def slack() -> AsyncIterator[ClientSession]:
    echoing = receiver()
    echoing.start(echo)
    async with serving(app_with(echoing)) as client:
        yield client


async def ask(client: ClientSession, **request: Any) -> tuple[int, str]:
    async with client.post(PATH, **request) as answer:
        return answer.status, await answer.text()


async def test_signed_request_reaches_bolt_with_its_body(slack: ClientSession) -> None:
    status, text = await ask(slack, **signed(COMMAND))

    assert (status, urlencode(json.loads(text)).encode()) == (200, COMMAND)


async def test_headers_do_not_reach_bolt() -> None:
    """A header of Bolt's own, which no signature covers, would skip the listener."""
    seen: list[object] = []

    async def dispatch(req: AsyncBoltRequest) -> BoltResponse:
        seen.append(req.headers)
        return BoltResponse(status=200)

    receiving = receiver()
    receiving.start(dispatch)
    async with serving(app_with(receiving)) as client:
        await ask(client, **signed(COMMAND, X_Slack_Bolt_Lazy_Only="1"))

    assert seen == [{}]


async def test_payload_before_the_start_and_after_the_stop_gets_503() -> None:
    stopped = receiver()
    async with serving(app_with(stopped)) as client:
        before = await ask(client, **signed(COMMAND))
        stopped.start(echo)
        problem = stopped.problem
        await stopped.stop(1)
        after = await ask(client, **signed(COMMAND))

    assert before == after == (503, NOT_RUNNING)
    assert (problem, stopped.problem) == (None, NOT_RUNNING)


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Slack_Signature": ""},
        {"X_Slack_Signature": "v0=" + "0" * 64},
        {"X_Slack_Signature": "v0=é"},
        {"X_Slack_Signature": signature(COMMAND, secret="another")},
        {"X_Slack_Signature": signature(COMMAND + b"&text=more")},
        {"X_Slack_Request_Timestamp": ""},
        {"X_Slack_Request_Timestamp": "yesterday"},
        {"X_Slack_Request_Timestamp": "-1"},
        {"X_Slack_Request_Timestamp": "1" * 400},
        {"X_Slack_Request_Timestamp": "١٧٠٠٠٠٠٠٠٠"},
    ],
)
async def test_invalid_signature_gets_401(slack: ClientSession, headers: dict[str, str]) -> None:
    status, _ = await ask(slack, **signed(COMMAND, **headers))

    assert status == 401


@pytest.mark.parametrize(
    ("age", "expected"), [(0, 200), (300, 200), (-300, 200), (301, 401), (-301, 401)]
)
async def test_signature_is_valid_for_five_minutes(
    slack: ClientSession, age: int, expected: int
) -> None:
    then = str(NOW - age)
    headers = {"X_Slack_Request_Timestamp": then, "X_Slack_Signature": signature(COMMAND, then)}
    status, _ = await ask(slack, **signed(COMMAND, **headers))

    assert status == expected


async def test_too_large_body_of_unknown_length_gets_413(slack: ClientSession) -> None:
    async def pieces() -> Any:
        for _ in range(3):
            yield b"x" * 1000

    status, _ = await ask(slack, data=pieces())

    assert status == 413


async def test_compressed_body_is_taken_as_it_is(slack: ClientSession) -> None:
    request = signed(b"abc", Content_Encoding="gzip")

    assert await ask(slack, **request) == (400, "The form has neither a command nor a payload.")


async def test_unsigned_requests_get_one_log_line_a_minute(slack: ClientSession) -> None:
    with capture_logs() as lines:
        statuses = {(await ask(slack, data=COMMAND))[0] for _ in range(20)}

    assert statuses == {401}
    assert [(line["log_level"], line["requests"]) for line in lines] == [("warning", 1)]


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        (FORM, b"payload=notjson", "The payload has an unknown type."),
        (FORM, b"payload=" + b"%5B" * 500, "The payload has an unknown type."),
        (FORM, b"payload={}", "The payload has an unknown type."),
        (FORM, b"payload=%7B%22type%22%3A%5B%5D%7D", "The payload has an unknown type."),
        (FORM, b"", "The form has neither a command nor a payload."),
        (FORM, b"command=", "The form has neither a command nor a payload."),
        (FORM, b"command=/x", "The form has a missing or invalid user_id."),
        # Bolt reads the last of several.
        (FORM, b"payload=%7B%7D&payload=x", "The payload has an unknown type."),
        (FORM + "; charset=utf-16", COMMAND, "The body must be in UTF-8."),
        (FORM + "; charset=klingon", COMMAND, "The body must be in UTF-8."),
        (JSON, b"{", "The body has an unknown type."),
        (JSON, b"[" * 1900, "The body has an unknown type."),
        (JSON, b'{"type": "event_callback", "event": {"type": "\\ud800"}}', SURROGATES),
        (JSON, b'{"type": "nonsense"}', "The body has an unknown type."),
        (JSON, b'{"type": "event_callback"}', NO_EVENT),
        (JSON, b'{"type": "event_callback", "event": "x"}', NO_EVENT),
        ("text/plain", COMMAND, "The body must be a form or JSON."),
    ],
)
async def test_signed_malformed_request_gets_400_with_the_reason(
    slack: ClientSession, content_type: str, body: bytes, why: str
) -> None:
    assert await ask(slack, **signed(body, content_type)) == (400, why)


@pytest.mark.parametrize("kind", PAYLOADS)
async def test_each_payload_type_passes(slack: ClientSession, kind: str) -> None:
    body = urlencode({"payload": json.dumps({"type": kind, **PAYLOADS[kind]})}).encode()
    status, _ = await ask(slack, **signed(body))

    assert status == 200


async def test_url_verification_passes(slack: ClientSession) -> None:
    body = b'{"type": "url_verification", "challenge": "abc"}'
    status, _ = await ask(slack, **signed(body, JSON))

    assert status == 200


def malformed() -> list[bytes]:
    """Each payload with each of its fields missing or odd, and with odd fields of others."""
    common: dict[str, object] = {"team": {"id": "T1"}, "enterprise": None, "channel": {"id": "C1"}}
    common |= {"authorizations": [], "event": {"type": "x"}, "container": {}}
    bodies = []
    for kind, own in PAYLOADS.items():
        full = {"type": kind, **common, **own}
        for field in full:
            bodies.append({k: v for k, v in full.items() if k != field})
            bodies.extend({**full, field: odd} for odd in ODD)
    return [urlencode({"payload": json.dumps(body)}).encode() for body in bodies]


async def test_malformed_payload_never_makes_bolt_fail(caplog: pytest.LogCaptureFixture) -> None:
    """Behind the receiver, the real Bolt never answers 5xx and logs no traceback."""
    before_bolt = receiver()
    before_bolt.start(bolt_app().async_dispatch)
    with caplog.at_level(logging.ERROR):
        async with serving(app_with(before_bolt)) as client:
            statuses = {(await ask(client, **signed(body)))[0] for body in malformed()}

    assert statuses <= {200, 400, 404}
    assert [record for record in caplog.records if record.exc_info] == []


def bolt_app() -> AsyncApp:
    async def authorize() -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="xoxb-1", bot_id="B1")

    async def acknowledge(ack: AsyncAck) -> None:
        await ack()

    bolt = AsyncApp(authorize=authorize, request_verification_enabled=False)
    bolt.action("a")(acknowledge)
    bolt.options("a")(acknowledge)
    bolt.view("cancel_restore")(acknowledge)
    bolt.shortcut("s")(acknowledge)
    return bolt
