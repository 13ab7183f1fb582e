"""Sends calls: reads are tried again; exceptions of httpx become `AtlasError`s."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Self, TypeVar

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
from bot.atlas.transport import (
    MAX_CONNECTIONS,
    CallRecord,
    InstrumentedTransport,
    ResponseTooLarge,
    check_base_url,
    open_transport,
)
from bot.timings import backoff

_T = TypeVar("_T")

MAX_ATTEMPTS = 10  #: attempts of one read, even if the clock stands still
FIRST_BACKOFF = 0.3  #: seconds between the first two attempts; doubled for each later one
LONGEST_BACKOFF = 5.0  #: seconds between two attempts, at most

#: The share of a call's timeout for connecting. A connect timeout comes before the call's own, so
#: that it is known that nothing was sent.
CONNECT_SHARE = 0.7
POOL_SHARE = 0.7  #: the share for getting a free connection; the rest is for the call


@dataclass(eq=False)
class AtlasHttp:
    """Sends calls with one connection pool and one login, and tries reads again."""

    credentials: Credentials
    _: KW_ONLY
    #: Atlas for Government: https://cloud.mongodbgov.com
    base_url: str = "https://cloud.mongodb.com"
    version: ApiVersion = ApiVersion.V2
    envelope: bool = False  #: for gateways that hide statuses or headers
    transport: httpx.AsyncBaseTransport | None = None  #: replaces the network, for tests
    request_timeout: float = 8.0  #: seconds for one call with its handshake
    timeout: float = 20.0  #: seconds for one read (all pages of a list) with its retries
    #: Called with each HTTP exchange, including digest challenges and failures.
    observe: Callable[[CallRecord], None] | None = None
    #: Called when Atlas refuses the key or the service account.
    on_login_refused: Callable[[], None] = lambda: None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    #: Why the last attempt of a read failed; None after a success.
    last_error: AtlasUnavailable | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        credentials, self.base_url = self.credentials, check_base_url(self.base_url)
        # Calls wait here and not in httpx's pool, which scans all its connections for each waiting
        # call whenever a call begins or ends: some hundreds would keep the CPU busy.
        self._connections = asyncio.Semaphore(MAX_CONNECTIONS)
        self._tasks: set[asyncio.Task[httpx.Response]] = set()
        auth: PooledDigestAuth | ClientCredentialsAuth
        if isinstance(credentials, DigestKey):
            auth = PooledDigestAuth(credentials)
        else:
            auth = ClientCredentialsAuth(credentials, self.base_url, self.monotonic)
        self.key_id = credentials.key_id
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
            trust_env=False,  # open_transport finds the proxy; a .netrc must not log in
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

    def why_late(self) -> AtlasUnavailable:
        """Return the error for a caller that ends its wait while a read is still being tried."""
        return self.last_error or TimedOut()

    def _deadline(self, timeout: float | None = None) -> float:
        return self.monotonic() + (self.timeout if timeout is None else timeout)

    async def _read(
        self,
        call: ApiCall,
        parse: Callable[[object], _T],
        deadline: float,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> _T:
        """Send a read until it succeeds; stop when the next pause would pass the deadline."""
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._send(call, deadline)
                parsed, self.last_error = parse(parse_body(response.content)), None
            except AtlasUnavailable as error:
                self.last_error = error
                pause = backoff(
                    attempt,
                    first=FIRST_BACKOFF,
                    longest=LONGEST_BACKOFF,
                    jitter=self.jitter(),
                    retry_after=error.retry_after,
                )
                if attempt >= max_attempts or pause >= deadline - self.monotonic():
                    raise
            else:
                return parsed
            await self.sleep(pause)

    async def _send(self, call: ApiCall, deadline: float) -> httpx.Response:
        """Send `call`, with a handshake if needed, and return a success before the deadline.

        The limit of one call, `request_timeout`, begins once a connection is free.
        """
        name = call.name(self.version)
        await self._acquire_connection(name, deadline)
        timeout = min(self.request_timeout, deadline - self.monotonic())
        try:
            response = await self._send_in_task(call, name, timeout)
            if not response.is_success:
                payload, headers = parse_body(response.content), response.headers
                raise error_for(response.status_code, headers, payload, name, call.not_found)
        except KeyRefused:
            self.on_login_refused()
            raise
        return response

    async def _acquire_connection(self, name: str, deadline: float) -> None:
        """Wait for a free connection; `_on_done` releases it."""
        try:
            async with asyncio.timeout((deadline - self.monotonic()) * POOL_SHARE):
                await self._connections.acquire()
        except TimeoutError:
            raise TimedOut(detail="all connections are busy", call=name) from None

    async def _send_in_task(self, call: ApiCall, name: str, timeout: float) -> httpx.Response:
        """Send `call` in a task of its own, which is cancelled together with the caller.

        anyio cancels the task: a call that asyncio cancels while its response ends would leave its
        connection in httpcore's pool for ever.
        """
        scope = anyio.CancelScope()
        task = asyncio.create_task(_run_in(scope, self._request(call, name, timeout)))
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            scope.cancel()
            raise

    def _on_done(self, task: asyncio.Task[httpx.Response]) -> None:
        self._tasks.discard(task)
        self._connections.release()
        if not task.cancelled():
            task.exception()  # marks it as retrieved: a caller that was cancelled does not

    async def _request(self, call: ApiCall, name: str, timeout: float) -> httpx.Response:
        seconds = max(timeout, 0.0)
        connect = seconds * CONNECT_SHARE
        try:
            with anyio.fail_after(timeout):
                return await self._client.request(
                    call.method,
                    self.base_url + call.path_for(self.version),
                    params=call.query(envelope=self.envelope),
                    headers={"Accept": call.accept(self.version)},
                    timeout=httpx.Timeout(seconds, connect=connect, pool=connect),
                )
        except (httpx.HTTPError, OSError, ResponseTooLarge, UnsupportedChallenge) as error:
            unavailable = _unavailable(error, name)
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


def _unavailable(error: Exception, name: str) -> AtlasUnavailable:
    """Map an exception of the HTTP client to an `AtlasUnavailable`."""
    if isinstance(error, UnsupportedChallenge):
        status = httpx.codes.UNAUTHORIZED
        return ChallengeNotUnderstood(status=status, detail=str(error), call=name)
    if isinstance(error, _BEFORE_SENDING):
        return NoConnection(detail=cleaned(str(error)), call=name)
    # Where the call for a token failed, the API call itself was not sent.
    path = error.request.url.path if isinstance(error, httpx.RequestError) else ""
    sent = name.startswith("DELETE ") and not path.endswith(TOKEN_PATH)
    leaf: type[AtlasUnavailable] = ConnectionBroken
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        leaf = TimedOut
    elif isinstance(error, (ResponseTooLarge, httpx.DecodingError)):
        leaf = UnreadableAnswer
    return leaf(detail=type(error).__name__, call=name, may_have_taken_effect=sent)
