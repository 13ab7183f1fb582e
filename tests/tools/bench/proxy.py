"""A TCP proxy on loopback that adds a round-trip time, also to the opening of a connection.

It runs as a process of its own (`python -m tests.tools.bench.proxy PORT SECONDS`), so that what is
measured does not wait for it.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.tools.campaign.faults.proxy import FaultyProxy

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


@dataclass(slots=True)
class DelayingProxy(FaultyProxy):
    """Each direction adds half of the round trip, without a limit of throughput.

    A new connection waits one round trip before its first byte, as with TCP's handshake.
    """

    round_trip: float = 0.0

    async def _connect(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self.round_trip)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.service())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_delayed(reader, far_writer, self.round_trip / 2))
                group.create_task(_delayed(far_reader, client, self.round_trip / 2))
        except* OSError:
            pass  # one side has gone; the other learns it by its closed connection
        finally:
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
    async with DelayingProxy(lambda: port, round_trip=round_trip) as proxy:
        print(proxy.port, flush=True)  # noqa: T201 - the starting process reads the port
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
