"""The faulty proxy injects each fault once and then works again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.tools.campaign.faults.proxy import NOISE, FaultyProxy, ProxyFault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER = b"answer"


@asynccontextmanager
async def wired() -> AsyncIterator[tuple[FaultyProxy, list[bytes]]]:
    """A proxy before a service that keeps the received requests."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            received.append(data)
            writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, FaultyProxy(lambda: port) as proxy:
        yield proxy, received


async def ask(proxy: FaultyProxy, seconds: float = 1.0) -> bytes | str:
    """Return the answer to one request: its bytes up to the end, or the kind of failure."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"question")
    try:
        async with asyncio.timeout(seconds):
            answer = await reader.read(len(NOISE))
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "silence"
    else:
        return answer
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("kind", "answer", "received"),
    [
        ("late", ANSWER, 1),
        ("reset before", "reset", 0),
        ("reset after", "reset", 1),
        ("cut answer", ANSWER[:3], 1),
        ("noise", NOISE, 1),
        ("silence", "silence", 1),
    ],
)
async def test_proxy_fault_breaks_one_exchange_and_is_recorded(
    kind: str, answer: bytes | str, received: int
) -> None:
    async with wired() as (proxy, asked):
        proxy.faults.append(ProxyFault(kind, 0.2))

        assert [await ask(proxy), len(asked)] == [answer, received]
        assert [exchange.kind for exchange in proxy.broken_exchanges] == [kind]
        assert await ask(proxy) == ANSWER
