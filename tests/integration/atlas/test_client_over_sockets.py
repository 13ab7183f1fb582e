"""The client over real connections that fail before, during and after."""

import asyncio
import socket
from pathlib import Path

import pytest

from bot.atlas.errors import (
    AtlasUnavailable,
    ConnectionBroken,
    NoConnection,
    TimedOut,
    UnreadableAnswer,
)
from tests.integration.atlas.socket_server import (
    JOB,
    KEY,
    REF,
    Talk,
    answer,
    answers_jobs,
    drops,
    listening,
    read_request,
    silence,
    writes,
)
from tests.support.atlas_client import AtlasClient

FAILURES: dict[str, tuple[Talk, type[AtlasUnavailable]]] = {
    "cut without an answer": (writes(b""), ConnectionBroken),
    "cut in the answer": (
        writes(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
        ConnectionBroken,
    ),
    "no HTTP": (writes(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), ConnectionBroken),
    "silence": (silence, TimedOut),
    "drops": (drops, TimedOut),
    "no gzip": (
        writes(answer("200 OK", b"nonsense", "Content-Encoding: gzip")),
        UnreadableAnswer,
    ),
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


@pytest.mark.parametrize("talk", [silence, drops])
async def test_read_ends_within_its_timeout(talk: Talk) -> None:
    async with listening(talk) as url, AtlasClient(KEY, base_url=url, timeout=0.25) as atlas:
        with pytest.raises(TimedOut):
            await asyncio.wait_for(atlas.restore_job(REF), 20)


async def test_refused_connection_means_nothing_was_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with AtlasClient(KEY, base_url=url) as atlas:
            with pytest.raises(NoConnection) as caught:
                await atlas.cancel_restore_job(REF)

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


async def test_call_to_this_machine_takes_no_proxy_and_no_login_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login somebody password secret\n", encoding="utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    at_atlas: list[bytes] = []
    at_proxy: list[bytes] = []

    def notes(requests: list[bytes]) -> Talk:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            requests.append(await read_request(reader))
            writer.write(answer("200 OK", JOB))
            await writer.drain()

        return talk

    async with listening(notes(at_atlas)) as url, listening(notes(at_proxy)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        async with AtlasClient(KEY, base_url=url) as atlas:
            await atlas.restore_job(REF)

    assert at_proxy == []
    assert [b"authorization" in request.lower() for request in at_atlas] == [False]


# Calls whose callers are cancelled

#: In place of the connections of a real client, so that few lost ones exhaust them.
CONNECTIONS = 4

#: Loop iterations after which a call is cancelled: from before it is sent to after its end.
ITERATIONS = range(40)


async def cancel_after(client: AtlasClient, iterations: int) -> None:
    call = asyncio.create_task(client.restore_job(REF))
    for _ in range(iterations):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def test_calls_cancelled_at_any_moment_release_their_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Especially while the end of the answer is read."""
    monkeypatch.setattr("bot.atlas.transport.MAX_CONNECTIONS", CONNECTIONS)
    async with listening(answers_jobs) as url, AtlasClient(KEY, base_url=url) as client:
        await client.restore_job(REF)
        for _ in range(CONNECTIONS):
            for iterations in ITERATIONS:
                await cancel_after(client, iterations)

        reads = (client.restore_job(REF, timeout=5.0) for _ in range(CONNECTIONS))
        jobs = await asyncio.gather(*reads)

    assert {job.id for job in jobs} == {REF.job_id}


async def test_close_does_not_wait_for_a_hanging_call() -> None:
    async with listening(silence) as url:
        client = AtlasClient(KEY, base_url=url)
        call = asyncio.create_task(client.restore_job(REF))
        await asyncio.sleep(0.05)
        call.cancel()

        async with asyncio.timeout(20):
            await client.aclose()
