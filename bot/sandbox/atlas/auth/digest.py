"""Strict HTTP Digest authentication as in Atlas (RFC 7616, qop=auth)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.request import parse_http_list, parse_keqv_list

if TYPE_CHECKING:
    from collections.abc import Mapping

REALM = "MMS Public API"
NONCE_LIFETIME = timedelta(seconds=60)

ALGORITHM = "MD5"
_NEEDED = ("username", "realm", "nonce", "uri", "response", "qop", "nc", "cnonce")


class DigestRefused(Exception):
    """The credentials are rejected; `stale` means that only the nonce was too old."""

    def __init__(self, why: str, *, stale: bool = False) -> None:
        self.stale = stale
        super().__init__(why)


@dataclass
class Nonce:
    """An issued nonce, and the counts it was used with."""

    issued: datetime
    counts: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Verified:
    """Accepted credentials: the user name, and whether the nonce was used before."""

    username: str
    nonce_reused: bool


@dataclass
class DigestAuthenticator:
    """Issues challenges, and verifies the credentials sent for them."""

    nonces: dict[str, Nonce] = field(default_factory=dict)

    def challenge(self, now: datetime, *, stale: bool = False) -> str:
        """Return a WWW-Authenticate header with a new nonce, byte for byte as recorded."""
        nonce = base64.b64encode(secrets.token_bytes(24)).decode()
        self.nonces[nonce] = Nonce(now)
        return (
            f'Digest realm="{REALM}", domain="", nonce="{nonce}", '
            f"algorithm={ALGORITHM}, "
            f'qop="auth", stale={str(stale).lower()}'
        )

    def check(
        self, header: str, method: str, target: str, passwords: Mapping[str, str], now: datetime
    ) -> Verified:
        """Verify the credentials of an Authorization header, or raise DigestRefused.

        The nonce is checked last: only a client with the password may receive stale=true
        (RFC 7616, 3.3).
        """
        given = parse(header)
        _check_fit(given, target)
        password = passwords.get(given["username"])
        expected = _response(given, method, password or secrets.token_hex())
        if not hmac.compare_digest(expected.encode(), given["response"].encode()):
            raise DigestRefused("unknown key or wrong response")
        return Verified(given["username"], self._count(given, now))

    def forget(self) -> None:
        """Forget every nonce, like a restarted server."""
        self.nonces.clear()

    def _count(self, given: Mapping[str, str], now: datetime) -> bool:
        nonce = self.nonces.get(given["nonce"])
        if nonce is None:
            raise DigestRefused("nonce is not known", stale=True)
        if now - nonce.issued > NONCE_LIFETIME:
            raise DigestRefused("nonce is too old", stale=True)
        count = int(given["nc"], 16)
        if count in nonce.counts:
            raise DigestRefused("nc was used before")
        nonce.counts.add(count)
        return len(nonce.counts) > 1


def parse(header: str) -> dict[str, str]:
    """Return the parameters of a Digest header; raise DigestRefused for invalid syntax."""
    pairs = parse_http_list(header.partition(" ")[2])
    try:
        given = {name.lower(): value for name, value in parse_keqv_list(pairs).items()}
    except (ValueError, IndexError):
        raise DigestRefused("header cannot be read") from None
    if missing := [name for name in _NEEDED if name not in given]:
        raise DigestRefused(f"missing: {', '.join(missing)}")
    return given


def _check_fit(given: Mapping[str, str], target: str) -> None:
    algorithm = given.get("algorithm", ALGORITHM)
    checks = (
        (given["realm"] == REALM, "realm is not the server's"),
        (given["uri"] == target, "uri is not the request target"),
        (given["qop"] == "auth", "qop is not auth"),
        (algorithm == ALGORITHM, "algorithm is not the one requested"),
        (re.fullmatch(r"[0-9a-f]{8}", given["nc"]) is not None, "nc is not 8 hex digits"),
        (given["nc"] != "00000000", "nc starts at 00000001"),
        (given["cnonce"] != "", "cnonce is empty"),
    )
    for fits, why in checks:
        if not fits:
            raise DigestRefused(why)


def _response(given: Mapping[str, str], method: str, password: str) -> str:
    def digest(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    secret = digest(f"{given['username']}:{REALM}:{password}")
    request = digest(f"{method}:{given['uri']}")
    parts = (secret, given["nonce"], given["nc"], given["cnonce"], "auth", request)
    return digest(":".join(parts))
