"""The client over real connections: tokens, and connections that fail before, during and after."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from bot.atlas import (
    AtlasClient,
    AtlasUnavailable,
    ConnectionBroken,
    DigestKey,
    JobRef,
    KeyRefused,
    NoConnection,
    ServiceAccount,
    TimedOut,
    UnreadableAnswer,
)

REF = JobRef("5b6212af90dc76637950a2c6", "MyCluster", "5b622f7087d9d6039fafe03f")
KEY = DigestKey("abcdefgh", SecretStr("c0ffee00-private"))
ACCOUNT = ServiceAccount("mdb_sa_id_123", SecretStr("mdb_sa_sk_s3cr3t"))
JOB = json.dumps({"id": REF.job_id, "deliveryType": "download", "deliveryUrl": []}).encode()


@dataclass
class Request:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = first.split(" ")
    return Request(method, target, headers, body)


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


#: Seconds until an accepted connection must be used.
ACCEPTED = 0.02

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """A server on a free port that talks so on every connection."""
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


# Tokens


@dataclass
class TokenServer:
    """Gives tokens of `lasts` seconds, and answers jobs to calls with the newest one."""

    lasts: int = 3600
    secret: str = "Basic bWRiX3NhX2lkXzEyMzptZGJfc2Ffc2tfczNjcjN0"
    given: int = 0
    asked: list[str] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            self.asked.append("token" if request.target == "/api/oauth/token" else request.method)
            writer.write(self._answer(request))
            await writer.drain()

    def _answer(self, request: Request) -> bytes:
        shown = request.headers["authorization"]
        if request.target == "/api/oauth/token":
            return self._token(request, shown)
        if shown != f"Bearer t0k3n-{self.given}":
            return answer("401 Unauthorized", b'{"error":401}')
        return answer("204 No Content") if request.method == "DELETE" else answer("200 OK", JOB)

    def _token(self, request: Request, shown: str) -> bytes:
        if shown != self.secret or request.body != b"grant_type=client_credentials":
            return answer("401 Unauthorized", b'{"error":"invalid_client"}')
        self.given += 1
        body = {"access_token": f"t0k3n-{self.given}", "expires_in": self.lasts}
        return answer("200 OK", json.dumps(body).encode())


async def test_service_account_cancels_with_one_token() -> None:
    server = TokenServer()
    async with listening(server) as url, AtlasClient(ACCOUNT, base_url=url) as atlas:
        await atlas.restore_job(REF)
        accepted = await atlas.cancel_restore_job(REF)
        await atlas.restore_job(REF)

    assert accepted == 204
    assert server.asked == ["token", "GET", "DELETE", "GET"]


async def test_revoked_token_is_renewed_once_for_twenty_concurrent_calls() -> None:
    server = TokenServer()
    async with listening(server) as url, AtlasClient(ACCOUNT, base_url=url) as atlas:
        await atlas.restore_job(REF)
        server.given += 1
        jobs = await asyncio.gather(*(atlas.restore_job(REF) for _ in range(20)))

    assert len(jobs) == 20
    assert server.asked.count("token") == 2


async def test_wrong_secret_is_reported_after_one_request() -> None:
    server = TokenServer(secret="Basic another")
    async with listening(server) as url, AtlasClient(ACCOUNT, base_url=url) as atlas:
        with pytest.raises(KeyRefused) as caught:
            await atlas.cancel_restore_job(REF)

    assert (caught.value.code, server.asked) == ("invalid_client", ["token"])


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
