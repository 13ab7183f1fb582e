"""Calls take the connection that was used last; one that failed or was idle too long is closed."""

from collections.abc import AsyncIterator

import httpx
import pytest

from bot.atlas.transport import KEEPALIVE_EXPIRY, Connections


class Body(httpx.AsyncByteStream):
    def __init__(self, text: str) -> None:
        self.text = text

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.text.encode()


class Connection(httpx.AsyncBaseTransport):
    def __init__(self, name: int) -> None:
        self.name, self.closed = name, False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/fails":
            raise httpx.ReadError("broken")
        return httpx.Response(200, stream=Body(str(self.name)))

    async def aclose(self) -> None:
        self.closed = True


class Opened:
    def __init__(self) -> None:
        self.now = 0.0
        self.all: list[Connection] = []
        self.connections = Connections(self._open, lambda: self.now)

    def _open(self) -> Connection:
        self.all.append(Connection(len(self.all)))
        return self.all[-1]

    async def begin(self, path: str = "/") -> httpx.Response:
        request = httpx.Request("GET", f"https://atlas.test{path}")
        return await self.connections.handle_async_request(request)

    async def call(self, path: str = "/") -> str:
        response = await self.begin(path)
        await response.aread()
        return response.text


async def test_call_takes_the_connection_that_was_used_last() -> None:
    opened = Opened()
    first, second = await opened.begin(), await opened.begin()
    await second.aclose()
    await first.aclose()

    assert [await opened.call(), await opened.call()] == ["0", "0"]
    assert len(opened.all) == 2


async def test_connection_of_a_failed_call_is_closed_and_not_used_again() -> None:
    opened = Opened()
    with pytest.raises(httpx.ReadError):
        await opened.call("/fails")

    assert await opened.call() == "1"
    assert [each.closed for each in opened.all] == [True, False]


async def test_connection_that_was_idle_for_too_long_is_closed_by_the_next_call() -> None:
    opened = Opened()
    first, second = await opened.begin(), await opened.begin()
    await second.aclose()
    await first.aclose()
    opened.now = KEEPALIVE_EXPIRY + 1

    assert await opened.call() == "0"
    assert [each.closed for each in opened.all] == [False, True]


async def test_close_closes_all_idle_connections() -> None:
    opened = Opened()
    first, second = await opened.begin(), await opened.begin()
    await first.aclose()
    await second.aclose()

    await opened.connections.aclose()

    assert [each.closed for each in opened.all] == [True, True]
