"""What a load balancer sees of a replica that is about to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from bot.web.draining import ShutdownState

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.unit.web.conftest import Serve


async def well(_request: web.Request) -> web.Response:
    return web.Response(text="well")


async def unwell(_request: web.Request) -> web.Response:
    raise web.HTTPUnauthorized


def site(leaving: ShutdownState) -> web.Application:
    app = web.Application()
    leaving.watch(app)
    app.router.add_get("/well", well)
    app.router.add_get("/unwell", unwell)
    return app


async def connection_after(client: ClientSession, path: str) -> str | None:
    async with client.get(path) as answer:
        return answer.headers.get("Connection")


async def test_connections_are_kept_as_long_as_it_stays(serve: Serve) -> None:
    leaving = ShutdownState()
    client = await serve(site(leaving))

    assert leaving.trouble is None
    assert await connection_after(client, "/well") is None


async def test_every_answer_ends_its_connection_once_it_leaves(serve: Serve) -> None:
    leaving = ShutdownState()
    client = await serve(site(leaving))
    leaving.begin()

    assert leaving.trouble == "The bot is stopping: another replica takes over."
    for path in ("/well", "/unwell", "/nowhere"):
        assert await connection_after(client, path) == "close"
