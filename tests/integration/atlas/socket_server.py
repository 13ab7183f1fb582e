"""Servers on loopback that say on each connection what a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from pydantic import SecretStr

from bot.atlas import DigestKey, JobRef

REF = JobRef("5b6212af90dc76637950a2c6", "MyCluster", "5b622f7087d9d6039fafe03f")
KEY = DigestKey("abcdefgh", SecretStr("c0ffee00-private"))
JOB = json.dumps({"id": REF.job_id, "deliveryType": "download", "deliveryUrl": []}).encode()

#: Seconds until an accepted connection must be used.
ACCEPTED = 0.02

Talk: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read a request without a body; empty at the end of the connection."""
    with suppress(asyncio.IncompleteReadError):
        return await reader.readuntil(b"\r\n\r\n")
    return b""


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def writes(data: bytes) -> Talk:
    """Read one request, write `data`, and close the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(data)
        await writer.drain()

    return talk


async def answers_jobs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request on the connection with the job, in two steps."""
    head, _, body = answer("200 OK", JOB).partition(b"\r\n\r\n")
    while await read_request(reader):
        writer.write(head + b"\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(body)
        await writer.drain()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await asyncio.Event().wait()


async def drops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begin an answer, and send it byte by byte."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """A server on a free port that runs `talk` on every connection."""
    open_ones: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
            with suppress(ConnectionError):
                await talk(reader, writer)
        finally:
            writer.close()
            open_ones.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        # A connection that is accepted while its server closes, newer Pythons leave open.
        await asyncio.sleep(ACCEPTED)
        server.close()
        for task in list(open_ones):
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)
