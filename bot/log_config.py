"""Structured logs of the bot and its libraries through one chain, with secrets redacted."""

import json
import logging
import re
import sys
from collections.abc import Iterable
from typing import Literal, TextIO
from urllib.parse import quote, quote_plus

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from bot.log_throttle import LogThrottle

HIDDEN = "[redacted]"

#: Bolt's warning when `SLACK_BOT_TOKEN` is in the environment; the client has the token.
BOLT_CLIENT_WARNING = "As you gave `client` as well, `token` will be unused."

#: The modules of aiohttp's errors about a request that is not HTTP, or whose body breaks off.
REQUEST_ERRORS = ("aiohttp.http", "aiohttp.web_protocol")

#: What asyncio logs of a connection that it cannot accept.
ACCEPT_ERROR = "socket.accept() out of system resource"

#: Shorter values are not redacted, since they are often ordinary words.
MIN_SECRET_LENGTH = 6

#: Keys whose values are always secret. Slack's `ticket` opens a Socket Mode connection, a
#: `trigger_id` a dialog, a `response_url` posts without a token, a delivery URL is the backup.
_SENSITIVE = (
    r"(?:token|secret|private_?key|password|ticket|trigger_?id|response_?url"
    r"|(?:delivery|download)_?urls?)"
)
_QUOTE = r"\\*[\"']"  # as in text, in repr, in JSON, in JSON within JSON
_HEADER = rf"authorization(?:{_QUOTE})?\s*[:=,]\s*(?:b?{_QUOTE})?"
_URL = r"[^\s\"'<>\\|]"

#: The forms of secrets. The group `kept`, if any, stays. The patterns run over the finished line,
#: which must remain valid JSON: none begins at a word boundary (a new line is a backslash and an n
#: there), and none consumes a quote or half an escape.
PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Slack's tokens, rotating ones too
        r"xox[a-z](?:\.xox[a-z])?-[\w-]+",
        r"xapp-[\w-]+",
        # Atlas's service accounts
        r"mdb_sa_sk_[\w-]+",
        # Authorization headers
        rf"(?P<kept>{_HEADER}(?:basic|bearer)\s+)[\w.~+/=-]+",
        r"(?P<kept>bearer\s+)[\w.~+/=-]{16,}",
        r"(?P<kept>digest\s+)username=(?:[\w*-]*=?\\*\"[^\"\\]*\\*\"|[\w=-]+|,\s*)+",
        # links that open a backup, by host or file name
        rf"https?://restore-{_URL}+",
        rf"https?://{_URL}+\.(?:tar\.gz|tgz|tar){_URL}*",
        # links that post in Slack, also through a gateway
        rf"https?://hooks\.slack(?:-gov)?\.com/{_URL}+",
        rf"https?://{_URL}+/(?:commands|actions)/[TE][A-Z0-9]+/{_URL}+",
        # passwords in addresses
        r"(?P<kept>://[^\s:/@\"']*:)[^\s@\"']+(?=@)",
        # values after a secret key
        rf"(?P<kept>{_SENSITIVE}(?:{_QUOTE})?\s*[:=]\s*\[?b?{_QUOTE})[^\"'\\]+",
        rf"(?P<kept>{_SENSITIVE}=)[^\s\"'&,;)\\\[]+",
    )
)
_SENSITIVE_KEY = re.compile(rf".*{_SENSITIVE}|authorization|cookie", re.IGNORECASE)


class Redactor:
    """Removes secrets from text: registered ones, and text in the form of one."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secrets: Iterable[SecretStr]) -> None:
        """Register `secrets` in each encoding in which a log may contain them."""
        for secret in secrets:
            value = secret.get_secret_value()
            if len(value) >= MIN_SECRET_LENGTH:
                self._known.update(_encodings(value))
        longest_first = sorted(self._known, key=lambda encoding: (-len(encoding), encoding))
        if longest_first:
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def clean(self, text: str) -> str:
        """Return `text` without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, text)
        for pattern in PATTERNS:
            text = pattern.sub(_hide, text)
        return text


def _encodings(value: str) -> set[str]:
    plain = {value, quote(value, safe=""), quote_plus(value)}
    escaped = {json.dumps(encoding)[1:-1] for encoding in plain}
    return plain | escaped | {json.dumps(encoding)[1:-1] for encoding in escaped}


def _hide(match: re.Match[str]) -> str:
    return match.groupdict().get("kept", "") + HIDDEN


_redactor = Redactor()


def redact(secrets: Iterable[SecretStr]) -> None:
    """Redact `secrets` in every later log line."""
    _redactor.register(secrets)


def redacted(text: str) -> str:
    """Return `text` without secrets, for output that is not the log."""
    return _redactor.clean(text)


def configure_logging(
    level: str = "INFO",
    format: Literal["console", "json"] | None = None,  # noqa: A002 - the setting's own name
    stream: TextIO | None = None,
) -> None:
    """Send every log line, of the bot and its libraries, through one chain to `stream`.

    The default stream is standard error; the default format is `console` on a terminal and `json`
    elsewhere.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    as_json = format == "json" or (format is None and not terminal)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact_secret_keys,
                _renderer(as_json=as_json, colors=terminal),
                redact_line,
            ],
        )
    )
    handler.addFilter(demote_library_records)
    handler.addFilter(AcceptErrorFilter())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _renderer(*, as_json: bool, colors: bool) -> Processor:
    if as_json:
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=colors, exception_formatter=structlog.dev.plain_traceback
    )


def redact_secret_keys(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide the values of keys that name a secret."""
    return {key: HIDDEN if _SENSITIVE_KEY.fullmatch(key) else value for key, value in event.items()}


def redact_line(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    """Redact the finished line: message, values, exceptions and tracebacks.

    The renderer has made text of what structlog's types still call an event.
    """
    return _redactor.clean(str(line))


def demote_library_records(record: logging.LogRecord) -> bool:
    """Log frequent records of libraries, which need no action, at DEBUG."""
    library = record.name.partition(".")[0]
    error = record.exc_info[1] if record.exc_info else None
    # Anyone who can reach the port can send a malformed request: log no traceback for it.
    in_http = type(error).__module__.startswith(REQUEST_ERRORS)
    malformed = record.name == "aiohttp.server" and in_http
    if malformed:
        record.exc_info = None
    if (
        malformed
        or (library in {"httpx", "alembic"} and record.levelno == logging.INFO)
        or (library == "slack_bolt" and record.msg == BOLT_CLIENT_WARNING)
    ):
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger().isEnabledFor(logging.DEBUG)
    return True


class AcceptErrorFilter(logging.Filter):
    """Passes one line a minute of those that asyncio logs while it has no file descriptors.

    It logs one for each connection that it may accept at a time, every second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._throttle = LogThrottle()

    def filter(self, record: logging.LogRecord) -> bool:
        is_repeated = record.name == "asyncio" and ACCEPT_ERROR in record.getMessage()
        return not is_repeated or self._throttle.count() > 0
