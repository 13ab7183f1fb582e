"""A real server of the bot on a free port, and a client for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web

from bot.web.server import WebServer


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[ClientSession]:
    """Serve an application; give a client whose base is that server."""
    server = WebServer("127.0.0.1", 0, app, grace=1)
    await server.start()
    try:
        async with ClientSession(f"http://127.0.0.1:{server.port}") as client:
            yield client
    finally:
        await server.stop()
