"""A transport around the real one: tells of every exchange, unpacks answers and caps them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx

from bot.atlas.unpacking import unpacker_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bot.atlas.unpacking import Unpacker

#: Bytes of a body that are read at most, before and after unpacking; a page of 500 jobs has well
#: below one million.
MOST_BYTES = 8 * 1024 * 1024


class AnswerTooLarge(Exception):
    """The body went on beyond MOST_BYTES."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One HTTP exchange, for whoever counts them; digest challenges and token calls included.

    Attributes:
        method: of the request.
        status: of the answer, or None where no answer came.
        seconds: from sending to the answer's headers, or to the failure.
        challenge: whether the answer is a 401 that asks for a login.
        rate_limit_remaining: calls left in Atlas's token bucket, where it says so.
        rate_limit: how many calls that bucket holds when it is full, where it says so.
        path: of the request; each family of paths has a bucket of its own.
        date: when Atlas says that it answered, for whoever compares clocks.
    """

    method: str
    status: int | None
    seconds: float
    challenge: bool = False
    rate_limit_remaining: int | None = None
    rate_limit: int | None = field(default=None, compare=False)
    path: str = field(default="", compare=False)
    date: datetime | None = field(default=None, compare=False)


class InstrumentedTransport(httpx.AsyncBaseTransport):
    """Passes requests on to `inner`, and reports each to `observe`."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        observe: Callable[[CallRecord], None] | None,
        monotonic: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._observe = observe
        self._monotonic = monotonic

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        began = self._monotonic()
        response: httpx.Response | None = None
        try:
            response = await self._inner.handle_async_request(request)
        finally:
            # Failures and cancellations are exchanges too: they cost a call, and time.
            if self._observe is not None:
                self._observe(_answered(request, response, self._monotonic() - began))
        if isinstance(response.stream, httpx.AsyncByteStream):
            encoding = response.headers.pop("Content-Encoding", "")
            response.stream = _Capped(response.stream, encoding)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def _answered(
    request: httpx.Request, response: httpx.Response | None, seconds: float
) -> CallRecord:
    if response is None:
        return CallRecord(request.method, None, seconds, path=request.url.path)
    return CallRecord(
        request.method,
        response.status_code,
        seconds,
        challenge=response.status_code == httpx.codes.UNAUTHORIZED
        and "WWW-Authenticate" in response.headers,
        rate_limit_remaining=_count(response.headers.get("RateLimit-Remaining", "")),
        rate_limit=_count(response.headers.get("RateLimit-Limit", "")),
        path=request.url.path,
        date=_moment(response.headers.get("Date", "")),
    )


def _moment(text: str) -> datetime | None:
    """Read a date as HTTP writes it; None where there is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None  # noqa: PLR2004 - no count is longer


class _Capped(httpx.AsyncByteStream):
    """A body, unpacked here and not by httpx; it ends with an error when it is too long.

    Raises:
        AnswerTooLarge: while it is read.
        CannotUnpack: while it is read.
    """

    def __init__(self, inner: httpx.AsyncByteStream, encoding: str) -> None:
        self._inner = inner
        self._encoding = encoding

    async def __aiter__(self) -> AsyncIterator[bytes]:
        unpacker: Unpacker | None = None
        packed = read = 0
        async for chunk in self._inner:
            # Not before the first bytes: an answer without any is packed in no way.
            unpacker = unpacker or unpacker_for(self._encoding)
            packed += len(chunk)
            for piece in unpacker.pieces(chunk):
                read += len(piece)
                if max(packed, read) > MOST_BYTES:
                    raise AnswerTooLarge
                yield piece
        if unpacker:
            unpacker.end()

    async def aclose(self) -> None:
        await self._inner.aclose()
