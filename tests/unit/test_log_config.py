"""The log: one chain for the bot and its libraries, and no secrets."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage
from pydantic import SecretStr
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from bot.log_config import (
    DOWNLOAD_LOGGER,
    HIDDEN,
    Redactor,
    bind_to_log,
    configure_logging,
    log_audit_event,
    redact,
)
from tests.support.terminal import Terminal

LINK = "https://restore-5b62.a1b2.mongodb.net:27017/Zk9fQ2/restore-5b6212af90dc76637950a2c6.tar.gz"
HOOK = "https://hooks.slack.com/commands/T0123/4567/AbCdEf"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_own_line_is_json_with_level_logger_and_time(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger("bot.test").info("card posted", request="r1")
    (line,) = lines(stream)

    assert line.pop("timestamp")
    assert line == {"event": "card posted", "request": "r1", "level": "info", "logger": "bot.test"}


@pytest.mark.parametrize("name", ["slack_bolt.AsyncApp", "slack_sdk.web", "aiohttp.server", "x"])
def test_library_line_passes_the_same_chain(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).warning("lost %s", "connection", extra={"attempt": 2})
    (line,) = lines(stream)

    assert (line["event"], line["level"], line["logger"]) == ("lost connection", "warning", name)
    assert line["attempt"] == 2


def test_request_is_on_every_line_of_its_run(stream: io.StringIO) -> None:
    with bind_to_log("r1"):
        structlog.stdlib.get_logger("bot.test").info("own")
        logging.getLogger("slack_sdk").warning("library")
    logging.getLogger("slack_sdk").warning("after")

    assert [line.get("request") for line in lines(stream)] == ["r1", "r1", None]


EVENT = {
    "at": "2026-12-02T12:00:00.000+00:00",
    "event": "request:approved",
    "request": "r1",
    "actor": "U0ADA",
    "team": "T1",
    "hash": "ab" * 32,
    "reason": "wrong cluster",
}


def test_audit_event_has_the_fields_of_a_line_of_audit(stream: io.StringIO) -> None:
    log_audit_event(EVENT)
    (line,) = lines(stream)

    assert (line["event"], line["name"]) == ("audit", "request:approved")
    assert {**EVENT, "event": "audit"}.items() <= line.items()


@pytest.mark.parametrize("level", ["DEBUG", "ERROR", "CRITICAL"])
@pytest.mark.parametrize("has_records", [True, False])
def test_events_and_downloads_are_logged_at_every_level_unless_a_command_prints_them(
    level: str, stream: io.StringIO, *, has_records: bool
) -> None:
    configure_logging(level, "json", stream, has_records=has_records)
    log_audit_event(EVENT)
    structlog.get_logger(DOWNLOAD_LOGGER).info("download_seen")

    assert [line["event"] for line in lines(stream)] == ["audit", "download_seen"] * has_records


def test_malformed_http_request_is_logged_without_traceback(stream: io.StringIO) -> None:
    server = logging.getLogger("aiohttp.server")
    server.error("Error handling request", exc_info=BadHttpMessage("Content-Length: -1"))
    server.error("Error handling request", exc_info=ValueError("an error of the bot"))

    assert "Content-Length" not in stream.getvalue()
    assert "an error of the bot" in stream.getvalue()


def test_bolts_warnings_about_the_token_are_logged_at_debug(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def authorize() -> AuthorizeResult:
        raise AssertionError("no payload comes")

    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-1-2-abc")
    AsyncApp(client=AsyncWebClient(token="xoxb-1-2-abc"), authorize=authorize)

    assert lines(stream) == []


def test_httpx_requests_are_logged_at_debug(stream: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET …")
    configure_logging("DEBUG", "json", stream)
    logging.getLogger("httpx").info("HTTP Request: DELETE …")

    assert [(line["event"], line["level"]) for line in lines(stream)] == [
        ("HTTP Request: DELETE …", "debug")
    ]


def test_default_format_depends_on_the_terminal() -> None:
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        configure_logging("INFO", None, stream)
        logging.getLogger("x").info("hello")

    assert json.loads(plain.getvalue())["event"] == "hello"
    assert terminal.getvalue().startswith("\x1b")


def test_console_traceback_is_redacted(stream: io.StringIO) -> None:
    configure_logging("INFO", "console", stream)
    structlog.stdlib.get_logger("bot.test").error("failed", exc_info=failure(f"GET {LINK}"))
    text = stream.getvalue()

    assert "Traceback (most recent call last)" in text
    assert f"ValueError: GET {HIDDEN}" in text


def test_json_traceback_is_redacted(stream: io.StringIO) -> None:
    logging.getLogger("slack_bolt").error("failed", exc_info=failure("a\nxoxb-1-2-abc\nb"))
    (line,) = lines(stream)

    assert str(line["exception"]).endswith(f"ValueError: a\n{HIDDEN}\nb")


def failure(message: str) -> BaseException:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        int_of(message)
    return caught.value


def int_of(message: str) -> int:
    raise ValueError(message)


SECRETS = [
    "xoxb-12-34-AbCd",
    "xoxp-12-34-AbCd",
    "xoxe-1-AbCd",
    "xoxe.xoxb-1-AbCd",
    "xapp-1-A02-99-abc",
    "mdb_sa_sk_a1B2_c3-d4",
    LINK,
    "https://example.net/x/dump.tar.gz?sig=1",
    HOOK,
    "https://hooks.slack-gov.com/actions/T1/2/3",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_secret_form_is_redacted_in_every_position(stream: io.StringIO, secret: str) -> None:
    log = structlog.stdlib.get_logger("bot.test")
    message = f"with {secret} in the message"
    log.info(message, value=secret, nested={"a": [secret, {"b": secret}]})
    logging.getLogger("lib").info("args %s and %r", secret, [secret], extra={"more": secret})
    logging.getLogger("lib").info(json.dumps({"inner": f"\n{secret}"}))

    assert secret not in stream.getvalue()
    assert len(lines(stream)) == 3


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: Basic {HIDDEN}"),
        ("{'authorization': 'Bearer abc.def'}", f"{{'authorization': 'Bearer {HIDDEN}'}}"),
        ("(b'Authorization', b'Basic dXNl')", f"(b'Authorization', b'Basic {HIDDEN}')"),
        (
            'Digest username="pub", realm="MMS", nc=00000001, response="0a1b", qop=auth) end',
            f"Digest {HIDDEN}) end",
        ),
        ("postgresql://bot:hunter2@db:5432/x", f"postgresql://bot:{HIDDEN}@db:5432/x"),
        ("postgresql://bot:p:w/d@db/x", f"postgresql://bot:{HIDDEN}@db/x"),
        ("wss://wss.slack.com/link/?ticket=ab-12&app_id=A", "wss://wss.slack.com/link/?ticket="),
        ('{"deliveryUrl": ["http://127.0.0.1/x"]}', f'{{"deliveryUrl": ["{HIDDEN}"]}}'),
        ("{'response_url': 'http://127.0.0.1:1/r/9'}", f"{{'response_url': '{HIDDEN}'}}"),
        ("{'trigger_id': '1.2.ab', 'view': 1}", f"{{'trigger_id': '{HIDDEN}', 'view': 1}}"),
        ("url: http://gate:1/commands/T01AB/99/xYz, body", f"url: {HIDDEN}"),
        ('{"access_token":"eyJh.eyJz.c2ln"}', f'{{"access_token":"{HIDDEN}"}}'),
    ],
)
def test_headers_passwords_and_sensitive_keys_are_redacted(text: str, clean: str) -> None:
    assert Redactor().clean(text).startswith(clean)


@pytest.mark.parametrize(
    "text",
    [
        "SLACK_BOT_TOKEN must begin with xoxb-: it is the Bot User OAuth Token",
        "http://127.0.0.1:3000/readyz and alice@example.com",
        "Basic authentication, Bearer token, digest access",
        "https://cloud.mongodb.com/api/atlas/v2/groups/5b62/clusters/prod/backup/restoreJobs/5b63",
        '{"token": "", "user": "U1"}',
        "cancelled=True, state=cancelled, job 5b6212af90dc76637950a2c6",
    ],
)
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert Redactor().clean(text) == text


def test_values_of_sensitive_keys_are_redacted(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger("bot.test").info("x", private_key="a b", client_secret=1, job="j")
    (line,) = lines(stream)

    assert (line["private_key"], line["client_secret"], line["job"]) == (HIDDEN, HIDDEN, "j")


@pytest.mark.parametrize(
    "secret", ["7e3c-41f0-key", 'quo"te\\back', "schlüssel", "with/slash+plus"]
)
def test_registered_secret_is_redacted_in_every_encoding(stream: io.StringIO, secret: str) -> None:
    redact([SecretStr(secret)])
    log = structlog.stdlib.get_logger("bot.test")
    message = f"plain {secret}"
    log.info(message, value=secret, inner=json.dumps({"key": secret}))
    written = stream.getvalue()
    (line,) = lines(stream)

    assert (line["event"], line["value"]) == (f"plain {HIDDEN}", HIDDEN)
    assert json.dumps(secret)[1:-1] not in written


def test_secret_that_contains_another_is_redacted_completely() -> None:
    redactor = Redactor()
    redactor.register([SecretStr("secret"), SecretStr("secret-and-more")])

    assert redactor.clean("it is secret-and-more") == f"it is {HIDDEN}"


def test_short_values_are_not_registered() -> None:
    redactor = Redactor()
    redactor.register([SecretStr("key"), SecretStr("")])

    assert redactor.clean("a key is a key") == "a key is a key"
