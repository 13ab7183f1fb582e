"""Keeps browsers' other pages out: a stand-in on loopback is reachable from every tab."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def foreign(headers: Mapping[str, str]) -> str:
    """Return why a browser's request comes from another site, or nothing when it does not.

    `headers` have lower-case names. Programs send neither header and pass.
    """
    host = headers.get("host", "")
    origin = headers.get("origin")
    own = {f"http://{host}"} if is_loopback(host) else set()
    if origin is not None and origin not in own:
        return f"requests from the origin {origin} are not taken"
    if origin is None and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "requests from other sites' pages are not taken"
    return ""


def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine: names that resolve to it elsewhere do not count."""
    return urlsplit(f"//{host}").hostname in LOOPBACK
