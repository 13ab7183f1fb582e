"""Sends one call and gives back its answer, or one of our errors; httpx's stay in here."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from bot.atlas.bearer import BearerLogin
from bot.atlas.challenge import Unanswerable
from bot.atlas.credentials import DigestKey
from bot.atlas.digest import DigestLogin
from bot.atlas.errors import (
    ChallengeNotUnderstood,
    ConnectionBroken,
    Facts,
    NoConnection,
    TimedOut,
    UnreadableAnswer,
)
from bot.atlas.gauge import AnswerTooLarge, Gauge
from bot.atlas.network import CONNECTIONS, checked_base, transport_to
from bot.atlas.unpacking import ACCEPTED, CannotUnpack
from bot.atlas.verdict import cleaned, verdict
from bot.atlas.wire import TOKEN_PATH, parsed, unwrapped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bot.atlas.credentials import Credentials
    from bot.atlas.errors import AtlasTrouble
    from bot.atlas.gauge import Answered
    from bot.atlas.wire import Ask, Dialect

#: The part of a call's seconds that connecting may take.
CONNECTING = 0.7

#: The part of all the seconds in which a connection must be free; the rest is for the call.
WAITING = 0.7


@dataclass(frozen=True, slots=True)
class Reply:
    """A success: its status (an envelope's, where one was asked for) and the JSON that came."""

    status: int
    payload: object


class Exchange:
    """One pool of connections, one login, one dialect."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        base_url: str,
        dialect: Dialect,
        transport: httpx.AsyncBaseTransport | None,
        request_timeout: float,
        observe: Callable[[Answered], None] | None,
        monotonic: Callable[[], float],
    ) -> None:
        self._base = checked_base(base_url)
        self._dialect = dialect
        self._timeout = request_timeout
        self._monotonic = monotonic
        # Waiting is not left to the pool of httpx: whenever a call comes or goes, it looks through
        # all connections for each one that waits, and some hundreds would keep the bot busy.
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._http = httpx.AsyncClient(
            transport=Gauge(transport or transport_to(self._base), observe, monotonic),
            auth=self._login(credentials, monotonic),
            headers={"User-Agent": "cancel-restore", "Accept-Encoding": ACCEPTED},
            follow_redirects=False,
            trust_env=False,  # the proxy is found by transport_to; a .netrc must not log in
        )

    def _login(self, credentials: Credentials, monotonic: Callable[[], float]) -> httpx.Auth:
        if isinstance(credentials, DigestKey):
            return DigestLogin(credentials, self._is_unauthorized)
        return BearerLogin(credentials, self._base, self._is_unauthorized, monotonic)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def send(self, ask: Ask, seconds: float) -> Reply:
        """Send `ask`, with a handshake where one is needed, all within `seconds` at most.

        The time limit of one call begins once a connection is free.

        Raises:
            AtlasRefused: Atlas said no.
            AtlasTrouble: anything else that is no success.
        """
        asked = f"{ask.method} {ask.target(self._dialect)}"
        async with self._turn(asked, seconds) as left:
            response = await self._response(ask, asked, min(self._timeout, left))
        status, payload = self._unwrapped(response)
        if not httpx.codes.is_success(status):
            raise verdict(status, response.headers, payload, ask.subject, asked)
        return Reply(status, payload)

    @asynccontextmanager
    async def _turn(self, asked: str, seconds: float) -> AsyncIterator[float]:
        """Wait in turn until a connection is free; yields the seconds that are left."""
        until = self._monotonic() + seconds
        try:
            async with asyncio.timeout(seconds * WAITING):
                await self._free.acquire()
        except TimeoutError:
            facts = Facts(detail="all connections are busy", asked=asked)
            raise TimedOut(**facts) from None
        try:
            yield until - self._monotonic()
        finally:
            self._free.release()

    async def _response(self, ask: Ask, asked: str, seconds: float) -> httpx.Response:
        try:
            async with asyncio.timeout(seconds):
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
        payload = parsed(response.content)
        if not self._dialect.envelope:
            return response.status_code, payload
        return unwrapped(response.status_code, payload)

    async def _is_unauthorized(self, response: httpx.Response) -> bool:
        """Say whether the answer is a 401; an envelope may hide it in a 200."""
        if response.status_code == httpx.codes.UNAUTHORIZED or not self._dialect.envelope:
            return response.status_code == httpx.codes.UNAUTHORIZED
        body = await response.aread()
        return unwrapped(response.status_code, parsed(body))[0] == httpx.codes.UNAUTHORIZED


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


def _trouble(error: Exception, asked: str) -> AtlasTrouble:
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
