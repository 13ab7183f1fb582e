"""Connections whose request does not arrive do not keep out others."""

import asyncio
import io
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import structlog
from aiohttp import web
from structlog.testing import capture_logs

from bot.log_config import configure_logging
from bot.web.metrics import Metrics, add_routes
from bot.web.server import ConnectionLimiter, WebServer, max_connections
from tests.support.polling import wait_until

HALF_SENT = b"GET /healthz HTTP/1.1\r\nHost: bot\r\nX-Half: "
NO_BODY = b"POST /slack/events HTTP/1.1\r\nHost: bot\r\nContent-Length: 10\r\n\r\nhalf"
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: bot\r\n\r\n"

#: A server with health checks, in a process that may open 256 files.
SERVER = """
import asyncio, resource
from aiohttp import web
from bot.log_config import configure_logging
from bot.web.metrics import Metrics, add_routes
from bot.web.server import WebServer

async def main():
    configure_logging("INFO", "json")
    app = web.Application()
    add_routes(app, Metrics(), {})
    server = WebServer("127.0.0.1", 0, app)
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()

resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
asyncio.run(main())
"""


@asynccontextmanager
async def serving(limiter: ConnectionLimiter) -> AsyncIterator[int]:
    app = web.Application()
    add_routes(app, Metrics(), {})
    server = WebServer("127.0.0.1", 0, app, grace=0.1, limiter=limiter)
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()


@asynccontextmanager
async def connection(
    port: int, sent: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def status_of(reader: asyncio.StreamReader) -> int | None:
    """Return the status of the next answer, or None where the connection ended without one."""
    with suppress(ConnectionError):
        if found := re.match(rb"HTTP/1\.1 (\d+)", await reader.readline()):
            return int(found[1])
    return None


def has_ended(reader: asyncio.StreamReader) -> bool:
    return reader.at_eof() or bool(reader.exception())


async def ask(port: int) -> int | None:
    async with connection(port, WHOLE) as (reader, _):
        return await status_of(reader)


@pytest.mark.parametrize("sent", [b"", HALF_SENT, NO_BODY])
async def test_new_connection_replaces_the_one_that_waited_longest(sent: bytes) -> None:
    with capture_logs() as lines:
        async with serving(ConnectionLimiter(3)) as port, AsyncExitStack() as stack:
            waiting = [await stack.enter_async_context(connection(port, sent)) for _ in range(6)]
            await wait_until(lambda: sum(has_ended(reader) for reader, _ in waiting) == 3)
            status = await ask(port)
            ended = [has_ended(reader) for reader, _ in waiting]

    assert status == 200
    assert ended == [True] * 4 + [False] * 2
    assert len(lines) == 1


async def test_request_that_is_answered_keeps_its_connection() -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/healthz", slow)
    server = WebServer("127.0.0.1", 0, app, grace=0.1, limiter=ConnectionLimiter(2))
    await server.start()
    async with AsyncExitStack() as stack:
        reader, _ = await stack.enter_async_context(connection(server.port, WHOLE))
        await arrived.wait()
        others = [
            await stack.enter_async_context(connection(server.port, HALF_SENT)) for _ in range(5)
        ]
        await wait_until(lambda: sum(has_ended(other) for other, _ in others) == 4)
        go_on.set()
        status = await status_of(reader)
    await server.stop()

    assert status == 200


async def test_health_is_answered_while_300_connections_stand_half_open() -> None:
    """With 256 file descriptors; a server without limits answers no call and fills its log."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    port = int(await process.stdout.readline())
    try:
        async with AsyncExitStack() as stack:
            for _ in range(300):
                await stack.enter_async_context(connection(port, HALF_SENT))
            async with asyncio.timeout(5):
                statuses = [await ask(port) for _ in range(5)]
    finally:
        process.terminate()
        _, log = await process.communicate()

    assert statuses == [200] * 5
    assert len(log) < 2000, log.decode()


@pytest.mark.parametrize(
    ("descriptors", "expected"), [(256, 85), (1024, 341), (2**20, 1000), (16, 8), (-1, 1000)]
)
def test_limit_of_connections_follows_from_the_file_descriptors(
    descriptors: int, expected: int
) -> None:
    assert max_connections(descriptors) == expected


POST = b"POST /healthz HTTP/1.1\r\nHost: bot\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "parts",
    [
        [POST + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"],
        [POST + b"Content-Encoding: br\r\nContent-Length: 5\r\n\r\nhello"],
        [POST + b"Content-Length: 50\r\n\r\nhello"],
        [CHUNKED + b"5\r\nhel"],
        [CHUNKED + b"zz\r\nhello"],
        [CHUNKED + b"5\r\nhello\r\n", b"zz\r\nhello"],
        [POST + b"Expect: 100-continue\r\nContent-Length: 50\r\n\r\n"],
        [b"\x16\x03\x01\r\n\r\n"],
    ],
)
async def test_broken_request_writes_nothing_to_the_log(parts: list[bytes]) -> None:
    """Also where the peer leaves in the middle of the body."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    configure_logging("INFO", "json", stream)
    try:
        async with serving(ConnectionLimiter(10)) as port:
            async with connection(port, b"") as (_, writer):
                for part in parts:
                    writer.write(part)
                    assert await ask(port) == 200  # the server has read the part by then
            assert await ask(port) == 200
    finally:
        root.handlers = handlers
        root.setLevel(level)
        structlog.reset_defaults()

    assert stream.getvalue() == ""
