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
class Line:
    """One connection: whether an exchange is open, and its fault."""

    client: asyncio.StreamWriter
    service: asyncio.StreamWriter
    asked: bool = False
    harm: str | None = None


@dataclass(slots=True)
class FaultyProxy:
    """Listens on a free port and forwards to the port that `service` returns; a context manager.

    `service` returns a port on loopback, or None while the service is down.
    """

    service: Callable[[], int | None]
    port: int = 0
    harms: deque[ProxyFault] = field(default_factory=deque)
    struck: list[BrokenExchange] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _lines: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0)
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
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._lines.add(task)
        task.add_done_callback(self._lines.discard)
        with suppress(ConnectionError, asyncio.CancelledError):
            await self._connect(reader, client)
        client.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        port = self.service()
        if port is None:
            return
        answers, service = await asyncio.open_connection("127.0.0.1", port)
        line = Line(client, service)
        both = [
            asyncio.create_task(self._requests(reader, line)),
            asyncio.create_task(self._answers(answers, line)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            service.transport.abort()
            if line.harm in ("reset before", "reset after"):
                _end_by_reset(client)

    async def _requests(self, reader: asyncio.StreamReader, line: Line) -> None:
        while data := await reader.read(CHUNK):
            if not line.asked:
                line.asked, line.harm = True, await self._next()
                if line.harm == "reset before":
                    return
            line.service.write(data)
            await line.service.drain()

    async def _answers(self, reader: asyncio.StreamReader, line: Line) -> None:
        while data := await reader.read(CHUNK):
            line.asked = False
            match line.harm:
                case "reset after":
                    return
                case "cut answer":
                    await _finish(line.client, data[: len(data) // 2])
                    return
                case "noise":
                    await _finish(line.client, NOISE)
                    return
                case "silence":
                    await asyncio.Event().wait()
            line.client.write(data)
            await line.client.drain()

    async def _next(self) -> str | None:
        """Take the next fault, record it, and wait if it is a delay."""
        if not self.harms:
            return None
        harm, at = self.harms.popleft(), time.time()
        if harm.kind == "late":
            await asyncio.sleep(harm.seconds)
        self.struck.append(BrokenExchange(at, time.time(), harm.kind))
        return harm.kind


def _end_by_reset(client: asyncio.StreamWriter) -> None:
    """Make the close of this connection a reset."""
    wire = client.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _finish(client: asyncio.StreamWriter, data: bytes) -> None:
    """Send the data and close normally, so that it arrives."""
    client.write(data)
    await client.drain()
    client.write_eof()
    await asyncio.sleep(0.05)
