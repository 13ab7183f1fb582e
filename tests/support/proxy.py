"""A TCP proxy on loopback that adds a round-trip time, also to the opening of a connection.

It runs as a process of its own, `python -m tests.benchmarks.proxy PORT SECONDS`, so that what is
measured does not wait for it.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from tests.benchmarks.results import ROOT

CHUNK = 65536


@asynccontextmanager
async def delayed(port: int, round_trip: float) -> AsyncIterator[int]:
    """Run the proxy, and yield its port, which leads to `port`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.proxy", str(port), str(round_trip)),
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


async def _serve(port: int, round_trip: float) -> None:
    server = await asyncio.start_server(partial(_connect, port, round_trip), "127.0.0.1", 0)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - for the starter
        await asyncio.to_thread(sys.stdin.read)
        os._exit(0)  # asyncio would log each connection that it cancels


async def _connect(
    port: int, round_trip: float, reader: asyncio.StreamReader, client: asyncio.StreamWriter
) -> None:
    """Join two connections; a new one waits one round trip, as for TCP's handshake."""
    await asyncio.sleep(round_trip)
    far_reader, server = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_forward(reader, server, round_trip / 2))
            group.create_task(_forward(far_reader, client, round_trip / 2))
    except* OSError:
        pass  # one side has gone; the other learns it by its closed connection
    finally:
        server.close()
        client.close()


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
) -> None:
    """Forward bytes and the end of the stream, each after `delay` seconds."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    carrying = asyncio.create_task(_carry(under_way, writer))
    try:
        data = b" "
        while data:
            data = await reader.read(CHUNK)
            under_way.put_nowait((loop.time() + delay, data))
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


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
