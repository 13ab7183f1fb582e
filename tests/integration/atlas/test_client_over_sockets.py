"""The client over real connections that fail before, during and after."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from pydantic import SecretStr

from bot.atlas import (
    AtlasUnavailable,
    ConnectionBroken,
    DigestKey,
    JobRef,
    NoConnection,
    TimedOut,
    UnreadableAnswer,
)
from tests.support.atlas_client import AtlasClient

REF = JobRef("5b6212af90dc76637950a2c6", "MyCluster", "5b622f7087d9d6039fafe03f")
KEY = DigestKey("abcdefgh", SecretStr("c0ffee00-private"))
JOB = json.dumps({"id": REF.job_id, "deliveryType": "download", "deliveryUrl": []}).encode()


async def read_request(reader: asyncio.StreamReader) -> None:
    """Read a request without a body, or the end of the connection."""
    with suppress(asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


#: Seconds until an accepted connection must be used.
ACCEPTED = 0.02

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """A server on a free port that runs `talk` on every connection."""
    open_ones: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones.add(task)
        try:
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


# Connections that fail


def writes(data: bytes) -> Talk:
    """Read one request, write `data`, and close the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(data)
        await writer.drain()

    return talk


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await asyncio.Event().wait()


async def drops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


NO_GZIP = answer("200 OK", b"nonsense", "Content-Encoding: gzip")

FAILURES: dict[str, tuple[Talk, type[AtlasUnavailable]]] = {
    "cut without an answer": (writes(b""), ConnectionBroken),
    "cut in the answer": (
        writes(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
        ConnectionBroken,
    ),
    "no HTTP": (writes(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), ConnectionBroken),
    "silence": (silence, TimedOut),
    "drops": (drops, TimedOut),
    "no gzip": (writes(NO_GZIP), UnreadableAnswer),
}


@pytest.mark.parametrize(("talk", "leaf"), FAILURES.values(), ids=FAILURES)
async def test_sent_delete_may_have_taken_effect_after_any_failure(
    talk: Talk, leaf: type[AtlasUnavailable]
) -> None:
    async with (
        listening(talk) as url,
        AtlasClient(KEY, base_url=url, request_timeout=1.0) as atlas,
    ):
        with pytest.raises(AtlasUnavailable) as caught:
            await asyncio.wait_for(atlas.cancel_restore_job(REF), 20)

    assert (type(caught.value), caught.value.may_have_taken_effect) == (leaf, True)


@pytest.mark.parametrize("talk", [talk for talk, _ in FAILURES.values()], ids=FAILURES)
async def test_read_ends_within_its_timeout_after_any_failure(talk: Talk) -> None:
    async with listening(talk) as url, AtlasClient(KEY, base_url=url, timeout=0.25) as atlas:
        with pytest.raises(AtlasUnavailable) as caught:
            await asyncio.wait_for(atlas.restore_job(REF), 20)

    assert caught.value.may_have_taken_effect is False


async def test_refused_connection_means_nothing_was_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with AtlasClient(KEY, base_url=url) as atlas:
            with pytest.raises(NoConnection) as caught:
                await atlas.cancel_restore_job(REF)

    assert type(caught.value) is NoConnection
    assert caught.value.may_have_taken_effect is False


async def test_server_without_tls_means_nothing_was_sent() -> None:
    async with (
        listening(silence) as url,
        AtlasClient(KEY, base_url=url.replace("http:", "https:"), request_timeout=0.5) as atlas,
    ):
        with pytest.raises(NoConnection) as caught:
            await atlas.cancel_restore_job(REF)

    assert caught.value.may_have_taken_effect is False


async def test_connection_closed_while_idle_does_not_fail_the_next_call() -> None:
    async with (
        listening(writes(answer("200 OK", JOB))) as url,
        AtlasClient(KEY, base_url=url) as atlas,
    ):
        await atlas.restore_job(REF)
        await asyncio.sleep(0.05)
        job = await atlas.restore_job(REF)

    assert job.id == REF.job_id
