"""A TCP proxy on loopback that adds a round-trip time, also to opening, or falls silent.

For benchmarks it runs as a process of its own, `python -m tests.support.proxy PORT SECONDS`, so
that what is measured does not wait for it.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from bot.tasks import cancel_and_wait

CHUNK = 65536


class Proxy:
    """A proxy in this process: `async with Proxy(port) as proxy: …` connects to `proxy.port`."""

    def __init__(self, to_port: int, round_trip: float = 0.0) -> None:
        self._to_port, self._delay = to_port, round_trip / 2
        self._tasks = set[asyncio.Task[None]]()
        self._silent_before: bytes | None = None
        self.is_silent = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await cancel_and_wait(*self._tasks)

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    def fall_silent(self, before: bytes | None = None) -> None:
        """Forward nothing from now on, or from the first chunk that contains `before`.

        Connections stay open and new ones are accepted, as where a route has gone.
        """
        self._silent_before, self.is_silent = before, before is None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Join two connections; a new one waits one round trip, as for TCP's handshake."""
        await asyncio.sleep(2 * self._delay)
        far_reader, server = await asyncio.open_connection("127.0.0.1", self._to_port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, server))
                group.create_task(self._forward(far_reader, client))
        except* OSError:
            pass  # one side has gone; the other learns it by its closed connection
        finally:
            server.close()
            client.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward bytes and the end of the stream, each after the delay."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        carrying = asyncio.create_task(self._carry(under_way, writer))
        try:
            data = b" "
            while data:
                data = await reader.read(CHUNK)
                under_way.put_nowait((loop.time() + self._delay, data))
            await carrying
        finally:
            carrying.cancel()

    async def _carry(
        self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - loop.time())
            if self._silent_before and self._silent_before in data:
                self.is_silent = True
            if self.is_silent:
                continue
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def delayed(port: int, round_trip: float) -> AsyncIterator[int]:
    """Run the proxy as a process, and yield its port, which leads to `port`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.proxy", str(port), str(round_trip)),
        stdin=asyncio.subprocess.PIPE,  # its end, however we end, ends the proxy too
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin
    assert process.stdout
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


async def _serve(port: int, round_trip: float) -> None:
    async with Proxy(port, round_trip) as proxy:
        print(proxy.port, flush=True)  # noqa: T201 - for the starter
        await asyncio.to_thread(sys.stdin.read)
        os._exit(0)  # asyncio would log each connection that it cancels


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
