"""The HTTP side: health, readiness and metrics, and nothing else."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import structlog
from aiohttp import ClientSession

from bot.log_config import configure_logging
from bot.web.metrics import Metrics
from bot.web.server import PortInUse, Readiness, WebServer


async def standby() -> Readiness:
    return Readiness("standby")


async def cut_off() -> Readiness:
    return Readiness("active", {"slack": "Slack is not connected."})


async def hanging() -> Readiness:
    await asyncio.Event().wait()
    return Readiness("active")


async def broken() -> Readiness:
    raise KeyError("xoxb-1-secret")


def new_server(
    readiness: Callable[[], Awaitable[Readiness]] = standby, *, host: str = "127.0.0.1"
) -> WebServer:
    return WebServer(host, 0, Metrics(), readiness)


@asynccontextmanager
async def serving(
    readiness: Callable[[], Awaitable[Readiness]] = standby,
) -> AsyncIterator[ClientSession]:
    server = new_server(readiness)
    await server.start()
    try:
        async with ClientSession(f"http://127.0.0.1:{server.port}") as client:
            yield client
    finally:
        await server.stop()


async def answer_of(client: ClientSession, path: str) -> tuple[int, Any]:
    async with client.get(path) as answer:
        return answer.status, json.loads(await answer.text())


@pytest.mark.parametrize("readiness", [standby, cut_off, hanging, broken])
async def test_healthz_is_200_whatever_the_readiness(
    readiness: Callable[[], Awaitable[Readiness]],
) -> None:
    async with serving(readiness) as client:
        status, _ = await answer_of(client, "/healthz")

    assert status == 200


@pytest.mark.parametrize(
    ("readiness", "status", "body"),
    [
        (standby, 200, {"role": "standby", "ok": True, "problems": {}}),
        (
            cut_off,
            503,
            {"role": "active", "ok": False, "problems": {"slack": "Slack is not connected."}},
        ),
        (
            hanging,
            503,
            {
                "role": "standby",
                "ok": False,
                "problems": {"readiness": "No answer within 0.05 seconds."},
            },
        ),
        (
            broken,
            503,
            {
                "role": "standby",
                "ok": False,
                "problems": {
                    "readiness": "The check itself failed (KeyError); the log has the details."
                },
            },
        ),
    ],
)
async def test_readyz_has_the_role_and_a_sentence_for_each_problem(
    readiness: Callable[[], Awaitable[Readiness]],
    status: int,
    body: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.web.server.CHECK_TIMEOUT", 0.05 if readiness is hanging else 20.0)
    async with serving(readiness) as client:
        answer = await answer_of(client, "/readyz")

    assert answer == (status, body)


async def test_role_of_the_last_check_stays_while_a_check_fails() -> None:
    checks = iter([cut_off, broken])

    async def next_check() -> Readiness:
        return await next(checks)()

    async with serving(next_check) as client:
        roles = [(await answer_of(client, "/readyz"))[1]["role"] for _ in range(2)]

    assert roles == ["active", "active"]


async def test_metrics_are_prometheus_text() -> None:
    async with serving() as client, client.get("/metrics") as answer:
        kind, text = answer.headers["Content-Type"], await answer.text()

    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert 'cancel_restore_requests_total{state="awaiting"} 0.0' in text


@pytest.mark.parametrize("path", ["/", "/slack/events", "/healthz/", "/metrics/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_other_path_is_404(method: str, path: str) -> None:
    async with serving() as client, client.request(method, path) as answer:
        assert answer.status == 404


async def test_port_in_use_is_reported_in_a_sentence() -> None:
    first = new_server()
    await first.start()
    second = WebServer("127.0.0.1", first.port, Metrics(), standby)
    with pytest.raises(PortInUse, match=f"PORT {first.port} .* is in use.*set another PORT"):
        await second.start()
    await first.stop()


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b"])
async def test_host_that_is_not_here_is_reported_in_a_sentence(host: str) -> None:
    with pytest.raises(PortInUse, match=f"HOST {host} and PORT 0 cannot be opened .*Set HOST"):
        await new_server(host=host).start()


async def test_stop_does_not_wait_for_a_check_that_hangs() -> None:
    server = new_server(hanging)
    await server.start()
    async with ClientSession(f"http://127.0.0.1:{server.port}") as client:
        asking = asyncio.create_task(answer_of(client, "/readyz"))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(3):
            await server.stop()
        asking.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await asking


@pytest.mark.parametrize(
    "part",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"POST /healthz HTTP/1.1\r\nHost: bot\r\nContent-Length: 50\r\n\r\nhello",
        b"POST /healthz HTTP/1.1\r\nHost: bot\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
        b"GET /healthz HTTP/1.1\r\nHost: bot\r\nX-Half: ",
    ],
)
async def test_broken_request_writes_nothing_to_the_log(part: bytes) -> None:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    configure_logging("INFO", "json", stream)
    try:
        async with serving() as client:
            assert client._base_url
            _, writer = await asyncio.open_connection("127.0.0.1", client._base_url.port)
            writer.write(part)
            await writer.drain()
            assert (await answer_of(client, "/healthz"))[0] == 200
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            assert (await answer_of(client, "/healthz"))[0] == 200
    finally:
        root.handlers = handlers
        root.setLevel(level)
        structlog.reset_defaults()

    assert stream.getvalue() == ""
