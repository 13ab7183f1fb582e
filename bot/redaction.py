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
#: Slack's, in a log: its `ticket` opens a Socket Mode connection, a `trigger_id` a dialog, and a
#: `response_url` posts without a token. A person who types `ticket=` means one of an issue tracker.
SENSITIVE_IN_LOG = r"(?:ticket|trigger_?id|response_?url)"
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
        # named secrets with a digit, which words do not have
        r"(?P<kept>(?:token|secret|key|password|passwd)\s*[:=]\s*)(?=\S*\d)\S{6,}",
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
