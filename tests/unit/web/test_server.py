"""Starting and stopping the HTTP side."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientConnectionError, ClientSession, web

from bot.web.server import CannotListen, PortTaken, WebServer


async def test_port_zero_takes_a_free_port_and_tells_it() -> None:
    server = WebServer("127.0.0.1", 0, web.Application())
    await server.start()
    port = server.port
    async with ClientSession() as client, client.get(f"http://127.0.0.1:{port}/") as answer:
        status = answer.status
    await server.stop()

    assert port > 0
    assert status == 404


async def test_a_taken_port_is_told_in_a_sentence() -> None:
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


async def test_a_foreign_address_is_told_in_a_sentence() -> None:
    server = WebServer("192.0.2.1", 0, web.Application())
    with pytest.raises(CannotListen) as caught:
        await server.start()

    assert str(caught.value) == (
        "Cannot listen on 192.0.2.1, port 0 (it is not an address of this machine): "
        "check HOST and PORT."
    )


async def test_a_host_that_cannot_be_one_is_told_in_a_sentence() -> None:
    server = WebServer("a..b", 0, web.Application())
    with pytest.raises(CannotListen) as caught:
        await server.start()

    assert str(caught.value) == (
        "Cannot listen on a..b, port 0 (it is not a name of a host): check HOST and PORT."
    )


async def test_stopping_lets_a_request_in_flight_end() -> None:
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


async def test_after_stopping_nobody_listens() -> None:
    server = WebServer("127.0.0.1", 0, web.Application())
    await server.start()
    url = f"http://127.0.0.1:{server.port}/"
    await server.stop()
    async with ClientSession() as client:
        with pytest.raises(ClientConnectionError):
            await client.get(url)


async def _text(client: ClientSession) -> str:
    async with client.get("/") as answer:
        return await answer.text()
