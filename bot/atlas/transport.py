"""The HTTP transport: connections, the environment's proxy, call records, capped responses."""

import ipaddress
import json
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx

from bot.atlas.protocol import parse_body, unwrap_envelope

#: httpx's pool compares all its connections whenever a call begins or ends, so that each further
#: one takes CPU; these carry 140 calls a second at 200 ms a call, more than Atlas allows a project.
MAX_CONNECTIONS = 28
KEEPALIVE_EXPIRY = 30.0  #: seconds an idle connection is kept; load balancers usually wait longer
#: Decoded bytes of one response; a page of 500 jobs has well below one million.
MAX_RESPONSE_BYTES = 8 * 1024 * 1024
DECODE_BYTES = 8192  #: in one step, to bound the memory: gzip expands up to 1000 times


class ResponseTooLarge(Exception):
    """The body is larger than `MAX_RESPONSE_BYTES`."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One HTTP exchange, including digest challenges and token calls."""

    method: str
    status: int | None  #: None without a response; in envelope mode the enveloped one
    #: From the request to the response's headers, in envelope mode to the end of its body, or to
    #: the failure.
    seconds: float


@dataclass(frozen=True)
class InstrumentedTransport(httpx.AsyncBaseTransport):
    """Forwards requests to `inner`, opens envelopes, reports calls to `observe`, caps responses."""

    inner: httpx.AsyncBaseTransport
    observe: Callable[[CallRecord], None] | None
    monotonic: Callable[[], float]
    envelope: bool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        began = self.monotonic()
        response: httpx.Response | None = None
        try:
            received = await self.inner.handle_async_request(request)
            capped = CappedResponse(
                received.status_code,
                headers=received.headers,
                stream=received.stream,
                extensions=received.extensions,
            )
            response = await open_envelope(capped) if self.envelope else capped
        finally:
            # Failed and cancelled calls are recorded too.
            if self.observe is not None:
                status = None if response is None else response.status_code
                self.observe(CallRecord(request.method, status, self.monotonic() - began))
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


async def open_envelope(response: httpx.Response) -> httpx.Response:
    """Return the response that is in the envelope, if there is one."""
    try:
        body = await response.aread()
    finally:
        await response.aclose()  # httpx closes only the responses that it gets
    status, payload = unwrap_envelope(response.status_code, parse_body(body))
    headers = response.headers.copy()
    for name in ("Content-Encoding", "Content-Length", "Transfer-Encoding"):
        headers.pop(name, None)
    return httpx.Response(status, headers=headers, content=json.dumps(payload).encode())


class CappedResponse(httpx.Response):
    """A response that raises `ResponseTooLarge` while its body is read or decoded."""

    async def aiter_raw(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        async for chunk in super().aiter_raw(chunk_size or DECODE_BYTES):
            yield chunk

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in super().aiter_bytes(chunk_size):
            read += len(chunk)
            if read > MAX_RESPONSE_BYTES:
                raise ResponseTooLarge
            yield chunk


def open_transport(base_url: str) -> httpx.AsyncBaseTransport:
    """Return a transport for HTTP/1.1; HTTP/2 was measured not to be faster."""
    limits = httpx.Limits(
        max_connections=MAX_CONNECTIONS,
        max_keepalive_connections=MAX_CONNECTIONS,
        keepalive_expiry=KEEPALIVE_EXPIRY,
    )
    return httpx.AsyncHTTPTransport(limits=limits, proxy=proxy_for(httpx.URL(base_url)))


def proxy_for(url: httpx.URL) -> str | None:
    """Return the environment's proxy for `url`; None for this machine itself."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    is_local = is_loopback(url.host) or url.host.endswith(".localhost")
    if not proxy or is_local or urllib.request.proxy_bypass(url.host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
