"""Structured logs of the bot and its libraries through one chain, with secrets redacted."""

import logging
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from bot.redaction import HIDDEN, SENSITIVE, SENSITIVE_IN_LOG, redacted

#: Bolt's warning when `SLACK_BOT_TOKEN` is in the environment; the client has the token.
BOLT_CLIENT_WARNING = "As you gave `client` as well, `token` will be unused."
#: The modules of aiohttp's errors about a request that is not HTTP, or whose body breaks off.
REQUEST_ERRORS = ("aiohttp.http", "aiohttp.web_protocol")
ACCEPT_ERROR = "socket.accept() out of system resource"
_SENSITIVE_KEY = re.compile(
    rf".*(?:{SENSITIVE}|{SENSITIVE_IN_LOG})|authorization|cookie", re.IGNORECASE
)


def configure_logging(
    level: str = "INFO",
    format: Literal["console", "json"] | None = None,  # noqa: A002 - the setting's own name
    stream: TextIO | None = None,
) -> None:
    """Send every log line, of the bot and its libraries, through one chain to `stream`."""
    stream = stream or sys.stderr
    terminal = stream.isatty()
    as_json = format == "json" or (format is None and not terminal)
    console = structlog.dev.ConsoleRenderer(
        colors=terminal, exception_formatter=structlog.dev.plain_traceback
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact_secret_keys,
                structlog.processors.JSONRenderer() if as_json else console,
                lambda _logger, _method, line: redacted(str(line)),
            ],
        )
    )
    handler.addFilter(demote_library_records)
    throttle = LogThrottle()  # asyncio logs one for each connection it may accept, every second
    handler.addFilter(lambda record: not is_accept_error(record) or throttle.count() > 0)
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
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def redact_secret_keys(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide the values of keys that name a secret."""
    return {key: HIDDEN if _SENSITIVE_KEY.fullmatch(key) else value for key, value in event.items()}


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


def is_accept_error(record: logging.LogRecord) -> bool:
    """Whether asyncio says that it has no file descriptors for new connections."""
    return record.name == "asyncio" and ACCEPT_ERROR in record.getMessage()


THROTTLE_INTERVAL = 60.0  #: seconds between two lines of an event that anyone can cause


@dataclass(slots=True)
class LogThrottle:
    """Counts events; the first one is due for the log, and then one a minute."""

    clock: Callable[[], float] = time.monotonic
    _last: float | None = None
    _count: int = 0

    def count(self) -> int:
        """Count one event; return the events since the last line if a line is due, else 0."""
        self._count += 1
        now = self.clock()
        if self._last is not None and now - self._last < THROTTLE_INTERVAL:
            return 0
        events, self._count, self._last = self._count, 0, now
        return events
