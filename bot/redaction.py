"""Removes secrets from text: registered ones, and text in the form of one."""

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

HIDDEN = "[redacted]"
REMOVED = "[removed]"  #: what stands in a reason for a secret that a person typed
MIN_SECRET_LENGTH = 6  #: shorter values are not redacted, since they are often ordinary words

#: Keys whose values are always secret. A delivery URL is the backup.
SENSITIVE = r"(?:token|secret|private_?key|password|(?:delivery|download)_?urls?)"
_SENSITIVE_HINTS = "token secret key password url"
#: Slack's, in a log: its `ticket` opens a Socket Mode connection, a `trigger_id` a dialog, and a
#: `response_url` posts without a token. A person who types `ticket=` means one of an issue tracker.
SENSITIVE_IN_LOG = r"(?:ticket|trigger_?id|response_?url)"
_LOG_HINTS = "ticket trigger url"
#: Patterns, each after words of which a text that it matches has at least one.
Hinted = tuple[tuple[list[str], re.Pattern[str]], ...]
_QUOTE = r"\\*[\"']"  # as in text, in repr, in JSON, in JSON within JSON
_HEADER = rf"authorization(?:{_QUOTE})?\s*[:=,]\s*(?:b?{_QUOTE})?"
_URL = r"[^\s\"'<>\\|]"


def _values_after(key: str, hints: str) -> tuple[tuple[str, str], ...]:
    return (
        (hints, rf"(?P<kept>{key}(?:{_QUOTE})?\s*[:=]\s*\[?b?{_QUOTE})[^\"'\\]+"),
        (hints, rf"(?P<kept>{key}=)[^\s\"'&,;)\\\[]+"),
    )


def _compiled(*forms: tuple[str, str]) -> Hinted:
    return tuple((hints.split(), re.compile(form, re.IGNORECASE)) for hints, form in forms)


#: The forms of secrets. The group `kept`, if any, stays. The patterns run over the finished line,
#: which must remain valid JSON: none begins at a word boundary (a new line is a backslash and an n
#: there), and none consumes a quote or half an escape. Before each pattern are hints: what it
#: matches contains at least one of them, in any case. Most lines have none: then looking for hints
#: takes a tenth of the time.
PATTERNS = _compiled(
    # Slack's tokens, rotating ones too
    ("xox", r"xox[a-z](?:\.xox[a-z])?-[\w-]+"),
    ("xapp-", r"xapp-[\w-]+"),
    # Atlas's service accounts
    ("mdb_sa_sk_", r"mdb_sa_sk_[\w-]+"),
    # Authorization headers
    ("authorization", rf"(?P<kept>{_HEADER}(?:basic|bearer)\s+)[\w.~+/=-]+"),
    ("bearer", r"(?P<kept>bearer\s+)[\w.~+/=-]{16,}"),
    (
        "digest",
        r"(?P<kept>digest\s+)username=(?:[\w*-]*=?\\*\"[^\"\\]*\\*\"|[\w=-]+|,\s*)+",
    ),
    # links that open a backup, by host or file name
    ("://restore-", rf"https?://restore-{_URL}+"),
    (".tar .tgz", rf"https?://{_URL}+\.(?:tar\.gz|tgz|tar){_URL}*"),
    # links that post in Slack, also through a gateway
    ("://hooks.slack", rf"https?://hooks\.slack(?:-gov)?\.com/{_URL}+"),
    (
        "/commands/ /actions/",
        rf"https?://{_URL}+/(?:commands|actions)/[TE][A-Z0-9]+/{_URL}+",
    ),
    # passwords in addresses
    ("://", r"(?P<kept>://[^\s:/@\"']*:)[^\s@\"']+(?=@)"),
    # values after a secret key
    *_values_after(SENSITIVE, _SENSITIVE_HINTS),
)
LOG_PATTERNS = PATTERNS + _compiled(*_values_after(SENSITIVE_IN_LOG, _LOG_HINTS))

#: Further forms of secrets in what people type. In a log they would match ids.
TYPED_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # links with a signature or a token
        rf"https?://(?={_URL}*(?:sig|signature|token|credential|secret|api_?key)=){_URL}+",
        # Atlas's private keys
        r"(?<![\w-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![\w-])",
        # JSON web tokens
        r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]+",
        # named secrets with a digit, which words do not have
        r"(?P<kept>(?:token|secret|key|password|passwd)\s*[:=]\s*)(?=\S*\d)\S{6,}",
    )
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
        return self._clean(text, LOG_PATTERNS, hidden=HIDDEN)

    def clean_typed(self, text: str) -> str:
        """Return what a person typed with `REMOVED` in place of secrets."""
        return self._clean(text, PATTERNS, *TYPED_PATTERNS, hidden=REMOVED)

    def _clean(self, text: str, patterns: Hinted, *more: re.Pattern[str], hidden: str) -> str:
        if self._pattern is not None:
            text = self._pattern.sub(hidden, text)
        # Outside ASCII, case has exceptions, so that any pattern may match.
        lower = text.lower() if text.isascii() else None
        likely = (
            pattern
            for hints, pattern in patterns
            if lower is None or any(hint in lower for hint in hints)
        )
        for pattern in (*more, *likely):
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
