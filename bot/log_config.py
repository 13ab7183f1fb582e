"""Structured logs for our code and for the libraries', with secrets taken out on the way."""

from __future__ import annotations

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

#: What Bolt warns of where `SLACK_BOT_TOKEN` is in the environment.
OF_BOLT = "As you gave `client` as well, `token` will be unused."

#: The modules of aiohttp's errors about a request that is not HTTP, or whose body breaks off.
REQUEST_ERRORS = ("aiohttp.http", "aiohttp.web_protocol")

#: What asyncio logs of a connection that it cannot accept.
ACCEPT_ERROR = "socket.accept() out of system resource"

#: Shorter values are ordinary words: hiding them would spoil the log and hide nothing.
SHORTEST_SECRET = 6

#: Keys whose values are secret whatever they look like. Slack's `ticket` opens a Socket Mode
#: connection, a `trigger_id` a dialog, a `response_url` posts without a token, a delivery URL is
#: the backup itself.
_TELLING = (
    r"(?:token|secret|private_?key|password|ticket|trigger_?id|response_?url"
    r"|(?:delivery|download)_?urls?)"
)
_QUOTE = r"\\*[\"']"  # as in text, in repr, in JSON, in JSON within JSON
_HEADER = rf"authorization(?:{_QUOTE})?\s*[:=,]\s*(?:b?{_QUOTE})?"
_URL = r"[^\s\"'<>\\|]"

#: What secrets look like. The group `kept`, where there is one, stays. No pattern begins at a word
#: boundary (in JSON a new line is a backslash and an n), and none eats a quote or half an escape:
#: they run over the finished line, which must still be JSON.
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
        # links that open a backup: the host or the name of the file gives them away
        rf"https?://restore-{_URL}+",
        rf"https?://{_URL}+\.(?:tar\.gz|tgz|tar){_URL}*",
        # links that post in Slack, through a gateway too
        rf"https?://hooks\.slack(?:-gov)?\.com/{_URL}+",
        rf"https?://{_URL}+/(?:commands|actions)/[TE][A-Z0-9]+/{_URL}+",
        # passwords in addresses
        r"(?P<kept>://[^\s:/@\"']*:)[^\s@\"']+(?=@)",
        # whatever stands under a telling name
        rf"(?P<kept>{_TELLING}(?:{_QUOTE})?\s*[:=]\s*\[?b?{_QUOTE})[^\"'\\]+",
        rf"(?P<kept>{_TELLING}=)[^\s\"'&,;)\\\[]+",
    )
)
_TELLING_KEY = re.compile(rf".*{_TELLING}|authorization|cookie", re.IGNORECASE)


class Redactor:
    """Takes secrets out of text: those that were registered, and what looks like one."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def register(self, secrets: Iterable[SecretStr]) -> None:
        """Remember `secrets`, in each spelling in which a log could hold them."""
        for secret in secrets:
            value = secret.get_secret_value()
            if len(value) >= SHORTEST_SECRET:
                self._known.update(_spellings(value))
        longest_first = sorted(self._known, key=lambda spelling: (-len(spelling), spelling))
        if longest_first:
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def clean(self, text: str) -> str:
        """Return `text` without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, text)
        for pattern in PATTERNS:
            text = pattern.sub(_hide, text)
        return text


def _spellings(value: str) -> set[str]:
    plain = {value, quote(value, safe=""), quote_plus(value)}
    escaped = {json.dumps(spelling)[1:-1] for spelling in plain}
    return plain | escaped | {json.dumps(spelling)[1:-1] for spelling in escaped}


def _hide(match: re.Match[str]) -> str:
    return match.groupdict().get("kept", "") + HIDDEN


_redactor = Redactor()


def redact(secrets: Iterable[SecretStr]) -> None:
    """Keep `secrets` out of every log line from now on; settings hand theirs over at the start."""
    _redactor.register(secrets)


def redacted(text: str) -> str:
    """Return `text` without secrets, for what is written elsewhere than in the log."""
    return _redactor.clean(text)


def configure_logging(
    level: str = "INFO",
    format: Literal["console", "json"] | None = None,  # noqa: A002 - the setting's own name
    stream: TextIO | None = None,
) -> None:
    """Send every log line, ours and the libraries', through one chain to `stream`.

    Args:
        level: Python's name of the level, in capitals.
        format: None means `console` on a terminal and `json` elsewhere.
        stream: standard error by default.
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
                hide_telling_keys,
                _renderer(as_json=as_json, colors=terminal),
                hide_secrets,
            ],
        )
    )
    handler.addFilter(quiet_requests)
    handler.addFilter(quiet_bolt)
    handler.addFilter(without_strangers_tracebacks)
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


def hide_telling_keys(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide values that are logged under the name of a secret, whatever they look like."""
    return {key: HIDDEN if _TELLING_KEY.fullmatch(key) else value for key, value in event.items()}


def hide_secrets(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    """Clean the finished line: message, values, exceptions and tracebacks alike.

    The renderer before it has made text of what structlog's types still call an event.
    """
    return _redactor.clean(str(line))


def without_strangers_tracebacks(record: logging.LogRecord) -> bool:
    """Make one DEBUG line of what aiohttp's server says of a request that is no HTTP.

    Anybody who reaches the port can send one, and must not fill the log with it.
    """
    error = record.exc_info[1] if record.exc_info else None
    if record.name == "aiohttp.server" and type(error).__module__.startswith(REQUEST_ERRORS):
        record.exc_info = None
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


def quiet_requests(record: logging.LogRecord) -> bool:
    """Make DEBUG lines of what httpx says of each request, and Alembic of each start."""
    if record.name.partition(".")[0] in {"httpx", "alembic"} and record.levelno == logging.INFO:
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger().isEnabledFor(logging.DEBUG)
    return True


def quiet_bolt(record: logging.LogRecord) -> bool:
    """Make a DEBUG line of Bolt's warning that it does not use the token of the environment.

    It looks for `SLACK_BOT_TOKEN` there by itself; ours goes with the client, on purpose.
    """
    if record.name.startswith("slack_bolt") and record.msg == OF_BOLT:
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger().isEnabledFor(logging.DEBUG)
    return True
