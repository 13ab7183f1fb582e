"""Sends one call: a GET for readers, a DELETE for the canceller; maps httpx's exceptions."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self, TypeAlias, TypeVar

import anyio
import httpx

from bot.atlas.errors import (
    AtlasUnavailable,
    ChallengeNotUnderstood,
    ConnectionBroken,
    KeyRefused,
    NoConnection,
    TimedOut,
    UnreadableAnswer,
    cleaned,
    error_for,
)
from bot.atlas.logins import (
    ClientCredentialsAuth,
    Credentials,
    DigestKey,
    PooledDigestAuth,
    UnsupportedChallenge,
)
from bot.atlas.protocol import TOKEN_PATH, ApiCall, ApiVersion, parse_body
from bot.atlas.transport import CallRecord, InstrumentedTransport, ResponseTooLarge, open_transport

_T = TypeVar("_T")

#: Sends one GET, and returns the body of its success before the deadline.
Get: TypeAlias = Callable[[ApiCall, float], Awaitable[bytes]]

#: The share of a call's timeout for connecting, or waiting for a free connection. These timeouts
#: come before the call's own, so that it is known that nothing was sent.
CONNECT_SHARE = 0.7


@dataclass(eq=False)
class AtlasHttp:
    """Sends calls with one connection pool and one login; safe for concurrent calls.

    A reader gets the function of `getter` alone. `AtlasCanceller` alone calls `delete`.
    """

    credentials: Credentials
    _: KW_ONLY
    #: Without a slash at its end. Atlas for Government: https://cloud.mongodbgov.com
    base_url: str = "https://cloud.mongodb.com"
    version: ApiVersion = ApiVersion.V2
    envelope: bool = False  #: for gateways that hide statuses or headers
    transport: httpx.AsyncBaseTransport | None = None  #: replaces the network, for tests
    request_timeout: float = 8.0  #: seconds for one call with its handshake
    #: Called with each HTTP exchange, including digest challenges and failures.
    observe: Callable[[CallRecord], None] | None = None
    #: Called when Atlas refuses the key or the service account.
    on_login_refused: Callable[[], None] = lambda: None
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._tasks: set[asyncio.Task[httpx.Response]] = set()
        auth: PooledDigestAuth | ClientCredentialsAuth
        if isinstance(self.credentials, DigestKey):
            auth = PooledDigestAuth(self.credentials)
        else:
            auth = ClientCredentialsAuth(self.credentials, self.base_url, self.monotonic)
        self._client = httpx.AsyncClient(
            transport=InstrumentedTransport(
                self.transport or open_transport(self.base_url),
                self.observe,
                self.monotonic,
                self.envelope,
            ),
            auth=auth,
            headers={"User-Agent": "cancel-restore", "Accept-Encoding": "gzip"},
            # No cookie is kept: each nonce has those of its challenge, and an older one would hide
            # them.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def getter(self) -> Get:
        """Return a function that sends GETs; unlike a method, it does not lead to `delete`."""

        async def get(call: ApiCall, deadline: float) -> bytes:
            return (await self._send("GET", call, deadline)).content

        return get

    async def delete(self, call: ApiCall) -> int:
        """Send exactly one DELETE, and return the status of its success."""
        deadline = self.monotonic() + self.request_timeout
        return (await self._send("DELETE", call, deadline)).status_code

    async def _send(self, method: str, call: ApiCall, deadline: float) -> httpx.Response:
        """Send one call within `request_timeout`, with a handshake if needed."""
        name = f"{method} {call.path_for(self.version)}"
        timeout = min(self.request_timeout, deadline - self.monotonic())
        try:
            response = await self._send_in_task(method, call, timeout)
            if not response.is_success:
                payload, headers = parse_body(response.content), response.headers
                raise error_for(response.status_code, headers, payload, name, call.not_found)
        except KeyRefused:
            self.on_login_refused()
            raise
        return response

    async def _send_in_task(self, method: str, call: ApiCall, timeout: float) -> httpx.Response:
        """Send `call` in a task of its own, which is cancelled together with the caller.

        anyio cancels the task: a call that asyncio cancels while its response ends would leave its
        connection in httpcore's pool for ever.
        """
        scope = anyio.CancelScope()
        task = asyncio.create_task(_run_in(scope, self._request(method, call, timeout)))
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            scope.cancel()
            raise

    def _on_done(self, task: asyncio.Task[httpx.Response]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved: a caller that was cancelled does not

    async def _request(self, method: str, call: ApiCall, timeout: float) -> httpx.Response:
        seconds = max(timeout, 0.0)
        connect = seconds * CONNECT_SHARE
        try:
            with anyio.fail_after(timeout):
                return await self._client.request(
                    method,
                    self.base_url + call.path_for(self.version),
                    params=call.query(envelope=self.envelope),
                    headers={"Accept": call.accept(self.version)},
                    timeout=httpx.Timeout(seconds, connect=connect, pool=connect),
                )
        except (httpx.HTTPError, OSError, ResponseTooLarge, UnsupportedChallenge) as error:
            unavailable = _unavailable(error, method, call.path_for(self.version))
        # Raised outside of the handler, so that httpx's error is not its context: it holds the
        # request with its headers, and may quote the response.
        raise unavailable


async def _run_in(scope: anyio.CancelScope, work: Awaitable[_T]) -> _T:
    """Await `work`; when `scope` is cancelled, end as a cancelled task."""
    with scope:
        return await work
    raise asyncio.CancelledError


_BEFORE_SENDING = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


def _unavailable(error: Exception, method: str, called: str) -> AtlasUnavailable:
    """Map an exception of the HTTP client to an `AtlasUnavailable`."""
    name = f"{method} {called}"
    if isinstance(error, UnsupportedChallenge):
        status = httpx.codes.UNAUTHORIZED
        return ChallengeNotUnderstood(status=status, detail=str(error), call=name)
    if isinstance(error, _BEFORE_SENDING):
        return NoConnection(detail=cleaned(str(error)), call=name)
    # Where the call for a token failed, the API call itself was not sent.
    path = error.request.url.path if isinstance(error, httpx.RequestError) else ""
    sent = method != "GET" and not path.endswith(TOKEN_PATH)
    leaf: type[AtlasUnavailable] = ConnectionBroken
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        leaf = TimedOut
    elif isinstance(error, (ResponseTooLarge, httpx.DecodingError)):
        leaf = UnreadableAnswer
    return leaf(detail=type(error).__name__, call=name, may_have_taken_effect=sent)
