"""Start, drain and stop of the HTTP server."""

import asyncio

import pytest
from aiohttp import ClientSession, web

from bot.web.server import PortTaken, WebError, WebServer


async def test_taken_port_is_reported_in_a_sentence() -> None:
    first = WebServer("127.0.0.1", 0, web.Application())
    await first.start()
    second = WebServer("127.0.0.1", first.port, web.Application())
    with pytest.raises(PortTaken) as caught:
        await second.start()
    await first.stop()

    assert str(caught.value) == (
        f"Port {second.port} of 127.0.0.1 is taken by another program: "
        "stop it, or set PORT to another."
    )


async def test_stop_waits_for_a_request_in_flight() -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response(text="done")

    app = web.Application()
    app.router.add_get("/", slow)
    server = WebServer("127.0.0.1", 0, app, grace=5)
    await server.start()
    async with ClientSession(f"http://127.0.0.1:{server.port}") as client:
        asking = asyncio.create_task(_text(client))
        await arrived.wait()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        go_on.set()
        text = await asking
        await stopping

    assert text == "done"


async def _text(client: ClientSession) -> str:
    async with client.get("/") as answer:
        return await answer.text()


# Draining


async def ok(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


async def refused(_request: web.Request) -> web.Response:
    raise web.HTTPUnauthorized


def site() -> web.Application:
    app = web.Application()
    app.router.add_get("/ok", ok)
    app.router.add_get("/refused", refused)
    return app


async def connection_after(client: ClientSession, path: str) -> str | None:
    async with client.get(path) as answer:
        return answer.headers.get("Connection")


async def test_each_response_closes_its_connection_once_shutdown_begins() -> None:
    server = WebServer("127.0.0.1", 0, site())
    await server.start()
    async with ClientSession(f"http://127.0.0.1:{server.port}") as client:
        before = server.problem, await connection_after(client, "/ok")
        server.begin_shutdown()
        after = [await connection_after(client, path) for path in ("/ok", "/refused", "/nowhere")]
    await server.stop()

    assert before == (None, None)
    assert after == ["close"] * 3
    assert server.problem == "The bot is stopping: another replica takes over."


@pytest.mark.parametrize(
    ("host", "why"), [("192.0.2.1", "an address of this machine"), ("a..b", "a name of a host")]
)
async def test_unusable_host_is_reported_in_a_sentence(host: str, why: str) -> None:
    with pytest.raises(WebError) as caught:
        await WebServer(host, 0, web.Application()).start()

    assert str(caught.value) == (
        f"Cannot listen on {host}, port 0 (it is not {why}): check HOST and PORT."
    )
