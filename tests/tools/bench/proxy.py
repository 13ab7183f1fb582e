"""A TCP proxy on loopback that adds a round-trip time, also to the opening of a connection.

It runs as a process of its own (`python -m tests.tools.bench.proxy PORT SECONDS`), so that what is
measured does not wait for it.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

ROOT = Path(__file__).parents[3]

#: Maximum bytes per read.
CHUNK = 65536


def with_round_trip(port: int, round_trip: float) -> AbstractAsyncContextManager[int]:
    """Yield a port that leads to `port` with `round_trip` seconds added; 0 yields `port`."""
    return _process(port, round_trip) if round_trip else nullcontext(port)


@asynccontextmanager
async def _process(port: int, round_trip: float) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.tools.bench.proxy", str(port), str(round_trip)),
        stdin=asyncio.subprocess.PIPE,  # its end, however we end, ends the proxy too
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def serve_with_delay(port: int, round_trip: float) -> AsyncIterator[int]:
    """Yield a port, served by this process, that leads to `port`.

    Each direction adds half of the round trip, without a limit of throughput; a new connection
    waits one round trip before its first byte, as with TCP's handshake.
    """
    proxy = _Proxy("127.0.0.1", port, round_trip)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await proxy.close()
        await server.wait_closed()


class _Proxy:
    def __init__(self, host: str, port: int, round_trip: float) -> None:
        self._host = host
        self._port = port
        self._round_trip = round_trip
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connection(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def close(self) -> None:
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self._round_trip)
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_delayed(reader, far_writer, self._round_trip / 2))
                group.create_task(_delayed(far_reader, writer, self._round_trip / 2))
        except* OSError:
            pass  # one side has gone; the other learns it by its closed connection
        finally:
            writer.close()
            far_writer.close()


async def _delayed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
) -> None:
    """Forward bytes and the end of the stream, each after `delay` seconds."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    carrying = asyncio.create_task(_carry(under_way, writer))
    try:
        while True:
            data = await reader.read(CHUNK)
            under_way.put_nowait((loop.time() + delay, data))
            if not data:
                break
        await carrying
    finally:
        carrying.cancel()


async def _carry(
    under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due, data = await under_way.get()
        await asyncio.sleep(due - loop.time())
        if not data:
            writer.write_eof()
            return
        writer.write(data)
        await writer.drain()


async def _serve(port: int, round_trip: float) -> None:
    async with serve_with_delay(port, round_trip) as here:
        print(here, flush=True)  # noqa: T201 - the starting process reads the port
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
