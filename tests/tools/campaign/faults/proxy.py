"""A proxy between the bot and a service that breaks exchanges on demand.

It knows nothing of either side: bytes that a client sends after an answer begin a new exchange.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

#: The kinds of faults of one exchange.
PROXY_FAULTS = {
    "late": "the request is forwarded `seconds` late",
    "reset before": "the connection is reset before the request is forwarded",
    "reset after": "the connection is reset after the call took effect, before the answer",
    "cut answer": "half of the answer, then the connection ends",
    "noise": "random bytes instead of the answer",
    "silence": "the call takes effect, and no answer comes",
}

NOISE = bytes(range(256))
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class ProxyFault:
    """A fault for the next exchange."""

    kind: str
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class BrokenExchange:
    """A fault that broke an exchange: start and end (wall clock), and kind."""

    at: float
    until: float
    kind: str


@dataclass(slots=True)
class ProxyConnection:
    """One connection; `fault` is the kind of the fault of the open exchange."""

    client: asyncio.StreamWriter
    service: asyncio.StreamWriter
    in_exchange: bool = False
    fault: str | None = None


@dataclass(slots=True)
class FaultyProxy:
    """Listens on a free port and forwards to the port that `service` returns; a context manager.

    `service` returns a port on loopback, or None while the service is down.
    """

    service: Callable[[], int | None]
    port: int = 0
    faults: deque[ProxyFault] = field(default_factory=deque)
    broken_exchanges: list[BrokenExchange] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with suppress(ConnectionError, asyncio.CancelledError):
            await self._connect(reader, client)
        client.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        port = self.service()
        if port is None:
            return
        answers, service = await asyncio.open_connection("127.0.0.1", port)
        connection = ProxyConnection(client, service)
        both = [
            asyncio.create_task(self._requests(reader, connection)),
            asyncio.create_task(self._answers(answers, connection)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            service.transport.abort()
            if connection.fault in ("reset before", "reset after"):
                _end_by_reset(client)

    async def _requests(self, reader: asyncio.StreamReader, connection: ProxyConnection) -> None:
        while data := await reader.read(CHUNK):
            if not connection.in_exchange:
                connection.in_exchange, connection.fault = True, await self._next()
                if connection.fault == "reset before":
                    return
            connection.service.write(data)
            await connection.service.drain()

    async def _answers(self, reader: asyncio.StreamReader, connection: ProxyConnection) -> None:
        while data := await reader.read(CHUNK):
            connection.in_exchange = False
            match connection.fault:
                case "reset after":
                    return
                case "cut answer":
                    await _finish(connection.client, data[: len(data) // 2])
                    return
                case "noise":
                    await _finish(connection.client, NOISE)
                    return
                case "silence":
                    await asyncio.Event().wait()
            connection.client.write(data)
            await connection.client.drain()

    async def _next(self) -> str | None:
        """Take the next fault, record it, and wait if it is a delay."""
        if not self.faults:
            return None
        fault, at = self.faults.popleft(), time.time()
        if fault.kind == "late":
            await asyncio.sleep(fault.seconds)
        self.broken_exchanges.append(BrokenExchange(at, time.time(), fault.kind))
        return fault.kind


def _end_by_reset(client: asyncio.StreamWriter) -> None:
    """Make the close of this connection a reset."""
    sock = client.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _finish(client: asyncio.StreamWriter, data: bytes) -> None:
    """Send the data and close normally, so that it arrives."""
    client.write(data)
    await client.drain()
    client.write_eof()
    await asyncio.sleep(0.05)
