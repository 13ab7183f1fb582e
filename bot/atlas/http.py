"""Sends one call and gives back its answer, or one of our errors; httpx's stay in here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio
import httpx

from bot.atlas.challenge import Unanswerable
from bot.atlas.credentials import DigestKey
from bot.atlas.digest import PooledDigestAuth
from bot.atlas.error_mapping import cleaned, error_for
from bot.atlas.errors import (
    ChallengeNotUnderstood,
    ConnectionBroken,
    Facts,
    NoConnection,
    TimedOut,
    UnreadableAnswer,
)
from bot.atlas.network import CONNECTIONS, checked_base, transport_to
from bot.atlas.oauth import ClientCredentialsAuth
from bot.atlas.protocol import TOKEN_PATH, parse_body, unwrap_envelope
from bot.atlas.transport import AnswerTooLarge, InstrumentedTransport
from bot.atlas.unpacking import ACCEPTED, CannotUnpack

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bot.atlas.credentials import Credentials
    from bot.atlas.errors import AtlasUnavailable
    from bot.atlas.protocol import ApiCall, ApiOptions
    from bot.atlas.transport import CallRecord

_T = TypeVar("_T")

#: The part of a call's seconds that connecting may take.
CONNECTING = 0.7

#: The part of all the seconds in which a connection must be free; the rest is for the call.
WAITING = 0.7


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A success: its status (an envelope's, where one was asked for) and the JSON that came."""

    status: int
    payload: object


class AtlasHttp:
    """One pool of connections, one login, one dialect."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        base_url: str,
        dialect: ApiOptions,
        transport: httpx.AsyncBaseTransport | None,
        request_timeout: float,
        observe: Callable[[CallRecord], None] | None,
        monotonic: Callable[[], float],
    ) -> None:
        self._base = checked_base(base_url)
        self._dialect = dialect
        self._timeout = request_timeout
        self._monotonic = monotonic
        # Waiting is not left to the pool of httpx: whenever a call comes or goes, it looks through
        # all connections for each one that waits, and some hundreds would keep the bot busy.
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._calls: set[asyncio.Task[httpx.Response]] = set()
        self._http = httpx.AsyncClient(
            transport=InstrumentedTransport(
                transport or transport_to(self._base), observe, monotonic
            ),
            auth=self._login(credentials, monotonic),
            headers={"User-Agent": "cancel-restore", "Accept-Encoding": ACCEPTED},
            follow_redirects=False,
            trust_env=False,  # the proxy is found by transport_to; a .netrc must not log in
        )

    def _login(self, credentials: Credentials, monotonic: Callable[[], float]) -> httpx.Auth:
        if isinstance(credentials, DigestKey):
            return PooledDigestAuth(credentials, self._is_unauthorized)
        return ClientCredentialsAuth(credentials, self._base, self._is_unauthorized, monotonic)

    async def aclose(self) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        await self._http.aclose()

    async def send(self, ask: ApiCall, seconds: float) -> ApiResponse:
        """Send `ask`, with a handshake where one is needed, all within `seconds` at most.

        The time limit of one call begins once a connection is free.

        Raises:
            AtlasRejected: Atlas said no.
            AtlasUnavailable: anything else that is no success.
        """
        asked = f"{ask.method} {ask.target(self._dialect)}"
        left = await self._turn(asked, seconds)
        response = await self._call(ask, asked, min(self._timeout, left))
        status, payload = self._unwrapped(response)
        if not httpx.codes.is_success(status):
            raise error_for(status, response.headers, payload, ask.subject, asked)
        return ApiResponse(status, payload)

    async def _turn(self, asked: str, seconds: float) -> float:
        """Wait in turn until a connection is free, and take it; returns the seconds left."""
        until = self._monotonic() + seconds
        try:
            async with asyncio.timeout(seconds * WAITING):
                await self._free.acquire()
        except TimeoutError:
            facts = Facts(detail="all connections are busy", asked=asked)
            raise TimedOut(**facts) from None
        return until - self._monotonic()

    async def _call(self, ask: ApiCall, asked: str, seconds: float) -> httpx.Response:
        """Make a call, and give its turn back; the call ends when nobody waits for it any more.

        It is anyio that ends it: a call that asyncio cancels just when its answer ends takes its
        connection out of httpcore's pool for ever.
        """
        scope = anyio.CancelScope()
        call = asyncio.create_task(_within(scope, self._response(ask, asked, seconds)))
        self._calls.add(call)
        call.add_done_callback(self._ended)
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            scope.cancel()
            raise

    def _ended(self, call: asyncio.Task[httpx.Response]) -> None:
        self._calls.discard(call)
        self._free.release()
        if not call.cancelled():
            call.exception()  # told to whoever waits; where nobody does, it is no news

    async def _response(self, ask: ApiCall, asked: str, seconds: float) -> httpx.Response:
        try:
            with anyio.fail_after(seconds):
                return await self._http.request(
                    ask.method,
                    self._base + ask.target(self._dialect),
                    params=ask.query(self._dialect),
                    headers={"Accept": ask.accept(self._dialect)},
                    timeout=_timeouts(max(seconds, 0.0)),
                )
        except (httpx.HTTPError, OSError, *_UNREADABLE, Unanswerable) as error:
            trouble = _trouble(error, asked)
        # Raised out here, so that an error of httpx, which knows the request and its headers and
        # may repeat a piece of the answer, does not travel along as the cause.
        raise trouble

    def _unwrapped(self, response: httpx.Response) -> tuple[int, object]:
        if (
            response.is_success
            and response.request.method == "DELETE"
            and not self._dialect.envelope
        ):
            return response.status_code, None  # whatever its body is
        payload = parse_body(response.content)
        if not self._dialect.envelope:
            return response.status_code, payload
        return unwrap_envelope(response.status_code, payload)

    async def _is_unauthorized(self, response: httpx.Response) -> bool:
        """Say whether the answer is a 401; an envelope may hide it in a 200."""
        if response.status_code == httpx.codes.UNAUTHORIZED or not self._dialect.envelope:
            return response.status_code == httpx.codes.UNAUTHORIZED
        body = await response.aread()
        return (
            unwrap_envelope(response.status_code, parse_body(body))[0] == httpx.codes.UNAUTHORIZED
        )


async def _within(scope: anyio.CancelScope, work: Awaitable[_T]) -> _T:
    """Do `work` until `scope` is cancelled; the task then ends as a cancelled one does."""
    with scope:
        return await work
    raise asyncio.CancelledError


def _timeouts(seconds: float) -> httpx.Timeout:
    """Let connecting end before the call does: then it is known that nothing was sent."""
    return httpx.Timeout(seconds, connect=seconds * CONNECTING, pool=seconds * CONNECTING)


_BEFORE_SENDING = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)

#: What comes of a body that is too long or is not packed as it says.
_UNREADABLE = (AnswerTooLarge, CannotUnpack, httpx.DecodingError)


def _trouble(error: Exception, asked: str) -> AtlasUnavailable:
    """Turn what went wrong on the way into one of our errors."""
    if isinstance(error, Unanswerable):
        facts = Facts(status=httpx.codes.UNAUTHORIZED, detail=str(error), asked=asked)
        return ChallengeNotUnderstood(**facts)
    if isinstance(error, _BEFORE_SENDING):
        return NoConnection(detail=cleaned(str(error)), asked=asked)
    sent = asked.startswith("DELETE ") and not _was_for_a_token(error)
    facts = Facts(detail=type(error).__name__, asked=asked)
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return TimedOut(may_have_taken_effect=sent, **facts)
    if isinstance(error, _UNREADABLE):
        return UnreadableAnswer(may_have_taken_effect=sent, **facts)
    return ConnectionBroken(may_have_taken_effect=sent, **facts)


def _was_for_a_token(error: Exception) -> bool:
    """Say whether it was the call for a token that failed, so that the call itself was not sent."""
    return isinstance(error, httpx.RequestError) and error.request.url.path.endswith(TOKEN_PATH)
