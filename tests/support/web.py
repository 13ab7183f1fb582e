"""A real server of the bot on a free port, and a client for it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import ClientSession

from bot.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web


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
