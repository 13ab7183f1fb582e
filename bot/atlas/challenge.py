"""Reads `WWW-Authenticate` headers and picks the digest challenge that can be answered (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The algorithms of RFC 7616 that httpx computes.
ALGORITHMS = frozenset({"MD5", "MD5-SESS", "SHA-256", "SHA-256-SESS"})

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - the token of RFC 9110, no password
_SCHEME = re.compile(rf"({_TOKEN})(?:[ \t]+|(?=,)|$)")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")
_PAIR = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))[ \t]*(?=,|$)')
_BETWEEN = re.compile(r"[ \t,]*")
_SENDABLE = re.compile(r"[ !#-\[\]-~]+")


class Unanswerable(Exception):
    """The server's 401 asks for something that an API key cannot give; the text says what."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """A digest challenge that can be answered."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: str | None = None
    opaque: str | None = None

    def __str__(self) -> str:
        """The header as plain as it can be written, so that any reader understands it."""
        parts = [f'realm="{self.realm}"', f'nonce="{self.nonce}"', f"algorithm={self.algorithm}"]
        parts += [f'qop="{self.qop}"'] if self.qop else []
        parts += [f'opaque="{self.opaque}"'] if self.opaque else []
        return "Digest " + ", ".join(parts)


def select_challenge(headers: Iterable[str]) -> Challenge:
    """Return the first digest challenge of the headers that can be answered.

    The first, because the server's order is its preference (RFC 7616, 3.7).

    Raises:
        Unanswerable: there is none.
    """
    whys = []
    for scheme, parameters in (offer for header in headers for offer in parse_challenges(header)):
        if scheme.lower() != "digest":
            whys.append(f"it asks for {scheme}")
            continue
        why = _obstacle(parameters)
        if why is None:
            return _challenge(parameters)
        whys.append(why)
    raise Unanswerable("; ".join(whys)[:200] or "it does not say which login it asks for")


def is_stale(headers: Iterable[str]) -> bool:
    """Say whether a digest challenge calls the nonce that was used too old, and nothing else."""
    found = (given for header in headers for _, given in parse_challenges(header))
    return any(given.get("stale", "").lower() == "true" for given in found)


def _obstacle(given: dict[str, str]) -> str | None:
    """Say what keeps this challenge from being answered, if anything does."""
    if not {"realm", "nonce"} <= given.keys() or not given["nonce"]:
        return "its digest challenge has no realm or no nonce"
    sent_back = ("realm", "nonce", "opaque")
    if any(given.get(key) and not _SENDABLE.fullmatch(given[key]) for key in sent_back):
        return "its digest challenge has characters that cannot be sent back"
    if given.get("algorithm", "MD5").upper() not in ALGORITHMS:
        return "its digest algorithm is not known"
    if "qop" in given and "auth" not in _qops(given["qop"]):
        return "its quality of protection is not auth"
    return None


def _challenge(given: dict[str, str]) -> Challenge:
    return Challenge(
        realm=given["realm"],
        nonce=given["nonce"],
        algorithm=given.get("algorithm", "MD5"),
        qop="auth" if "qop" in given else None,
        opaque=given.get("opaque") or None,
    )


def _qops(value: str) -> set[str]:
    return {qop.strip().lower() for qop in value.split(",")}


def parse_challenges(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each scheme of one header with its parameters, names in lower case.

    One line may hold several schemes (RFC 9110, 11.6.1). Reading ends where the line stops making
    sense; what was read until there counts.
    """
    at = _skip(header, 0)
    while scheme := _SCHEME.match(header, at):
        at = scheme.end()
        if bare := _TOKEN68.match(header, at):
            at = bare.end()
        parameters: dict[str, str] = {}
        at = _skip(header, at)
        while pair := _PAIR.match(header, at):
            value = pair[2] if pair[2] is not None else pair[3]
            parameters.setdefault(pair[1].lower(), value)
            at = _skip(header, pair.end())
        yield scheme[1], parameters


def _skip(header: str, at: int) -> int:
    between = _BETWEEN.match(header, at)
    return between.end() if between else at
