"""Structured logs of the bot and its libraries through one chain, with secrets redacted."""

import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, TextIO
from urllib.parse import quote, quote_plus

import structlog
from pydantic import SecretStr
from structlog.contextvars import bound_contextvars
from structlog.typing import EventDict, Processor, WrappedLogger

#: Bolt's warnings where the client has a token, as ours has, and the app its own `authorize`, or
#: where the environment has SLACK_BOT_TOKEN.
BOLT_TOKEN_WARNINGS = (
    "As `installation_store` or `authorize` has been used",
    "As you gave `client` as well, `token` will be unused",
)
#: The modules of aiohttp's errors about a request that is not HTTP, or whose body breaks off.
REQUEST_ERRORS = ("aiohttp.http", "aiohttp.web_protocol")
AUDIT_LOGGER = "bot.audit"
DOWNLOAD_LOGGER = "bot.audit.downloads"  #: logs that downloads were seen and have ended
SILENT = "CRITICAL"  #: the level of commands, which print what happens
HIDDEN = "[redacted]"
REMOVED = "[removed]"  #: what stands in a reason for a secret that a person typed
MIN_SECRET_LENGTH = 6  #: shorter values are not redacted, since they are often ordinary words

#: Keys whose values are always secret. A delivery URL is the backup.
SENSITIVE = r"(?:token|secret|private_?key|password|(?:delivery|download)_?urls?)"
#: Slack's, in a log: its `ticket` opens a Socket Mode connection, a `trigger_id` a dialog, and a
#: `response_url` posts without a token. A person who types `ticket=` means one of an issue tracker.
SENSITIVE_IN_LOG = r"(?:ticket|trigger_?id|response_?url)"
_SENSITIVE_KEY = re.compile(
    rf".*(?:{SENSITIVE}|{SENSITIVE_IN_LOG})|authorization|cookie", re.IGNORECASE
)
_QUOTE = r"\\*[\"']"  # as in text, in repr, in JSON, in JSON within JSON
_HEADER = rf"authorization(?:{_QUOTE})?\s*[:=,]\s*(?:b?{_QUOTE})?"
_URL = r"[^\s\"'<>\\|]"


def _compiled(*forms: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(form, re.IGNORECASE) for form in forms)


def _values_after(key: str) -> tuple[str, str]:
    return (
        rf"(?P<kept>{key}(?:{_QUOTE})?\s*[:=]\s*\[?b?{_QUOTE})[^\"'\\]+",
        rf"(?P<kept>{key}=)[^\s\"'&,;)\\\[]+",
    )


#: The forms of secrets. The group `kept`, if any, stays. The patterns run over the finished line,
#: which must remain valid JSON: none begins at a word boundary (a new line is a backslash and an n
#: there), and none consumes a quote or half an escape.
PATTERNS = _compiled(
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
    *_values_after(SENSITIVE),
)
LOG_PATTERNS = PATTERNS + _compiled(*_values_after(SENSITIVE_IN_LOG))

#: Further forms of secrets in what people type. In a log they would match ids.
TYPED_PATTERNS = (
    *_compiled(
        # links with a signature or a token
        rf"https?://(?={_URL}*(?:sig|signature|token|credential|secret|api_?key)=){_URL}+",
        # Atlas's private keys
        r"(?<![\w-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![\w-])",
        # JSON web tokens
        r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+",
        # named secrets with a digit, which words do not have, but no key of an issue (OPS-1234)
        r"(?P<kept>(?:token|secret|key|password|passwd)\s*[:=]\s*)"
        r"(?=\S*\d)(?!(?-i:[A-Z]{2,10}-\d{1,6})(?![\w-]))\S{6,}",
    ),
    *PATTERNS,
)


class Redactor:
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
        """Return a text of the log with `HIDDEN` in place of secrets."""
        return self._clean(text, LOG_PATTERNS, HIDDEN)

    def clean_typed(self, text: str) -> str:
        """Return what a person typed with `REMOVED` in place of secrets."""
        return self._clean(text, TYPED_PATTERNS, REMOVED)

    def _clean(self, text: str, patterns: Iterable[re.Pattern[str]], hidden: str) -> str:
        if self._pattern is not None:
            text = self._pattern.sub(hidden, text)
        for pattern in patterns:
            text = pattern.sub(lambda match: match.groupdict().get("kept", "") + hidden, text)
        return text


def _encodings(value: str) -> set[str]:
    plain = {value, quote(value, safe=""), quote_plus(value)}
    escaped = {json.dumps(encoding)[1:-1] for encoding in plain}
    return plain | escaped | {json.dumps(encoding)[1:-1] for encoding in escaped}


_redactor = Redactor()
redact = _redactor.register  #: redacts secrets in every later log line
redacted = _redactor.clean
without_secrets = _redactor.clean_typed  #: also removes links that open data


def configure_logging(
    level: str = "INFO",
    format: Literal["console", "json"] | None = None,  # noqa: A002 - the setting's own name
    stream: TextIO | None = None,
    *,
    has_records: bool = True,
) -> None:
    """Send every log line, of the bot and its libraries, through one chain to `stream`.

    With `has_records`, events and downloads are logged at every level: a SIEM may need what was
    done where LOG_LEVEL is ERROR.
    """
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
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger(AUDIT_LOGGER).setLevel("INFO" if has_records else SILENT)
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
        or (library == "slack_bolt" and str(record.msg).startswith(BOLT_TOKEN_WARNINGS))
    ):
        record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        return logging.getLogger().isEnabledFor(logging.DEBUG)
    return True


_audit = structlog.get_logger(AUDIT_LOGGER)


def log_audit_event(fields: Mapping[str, object]) -> None:
    """Write a line of the audit log, after its commit; `event` is `audit`, `name` its name."""
    _audit.info("audit", name=fields["event"], **{k: v for k, v in fields.items() if k != "event"})


@contextmanager
def bind_to_log(request: str) -> Iterator[None]:
    """Bind the request's id to every log line within the context."""
    with bound_contextvars(request=request):
        yield
