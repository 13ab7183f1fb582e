"""Rejects requests of other sites' pages, which can reach loopback from any browser tab."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def cross_site_reason(headers: Mapping[str, str]) -> str:
    """Return why a browser's request is cross-site, or an empty string.

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
    """Whether a Host header is a loopback name; other names for 127.0.0.1 do not count."""
    return urlsplit(f"//{host}").hostname in LOOPBACK
