"""Finds the way to Atlas: a checked address, the environment's proxy, a pool of connections."""

from __future__ import annotations

import ipaddress
import urllib.request

import httpx

#: Calls at once; more wait for a free connection.
CONNECTIONS = 32
#: Seconds an idle connection is kept; below what load balancers usually allow.
KEPT_FOR = 30.0


def checked_base(base_url: str) -> str:
    """Return the address without a slash at its end.

    Raises:
        ValueError: it is no http or https address, or has a user, a query or a fragment.
    """
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        raise ValueError("the address of Atlas cannot be read") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("the address of Atlas must begin with https:// and name a host")
    if url.userinfo or url.query or url.fragment:
        raise ValueError("the address of Atlas must not have a user, a ? or a # in it")
    return str(url).rstrip("/")


def transport_to(base_url: str) -> httpx.AsyncBaseTransport:
    """Build the transport: HTTP/1.1, because HTTP/2 measured no gain for calls in turn."""
    limits = httpx.Limits(
        max_connections=CONNECTIONS,
        max_keepalive_connections=CONNECTIONS,
        keepalive_expiry=KEPT_FOR,
    )
    return httpx.AsyncHTTPTransport(limits=limits, proxy=proxy_for(httpx.URL(base_url)))


def proxy_for(url: httpx.URL) -> str | None:
    """Return the proxy that the environment names for `url`; never one for this very machine."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or _is_loopback(url.host) or urllib.request.proxy_bypass(url.host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
