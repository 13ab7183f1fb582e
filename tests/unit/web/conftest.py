"""A real server on a free port, and a client for it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, web

from bot.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Serve = Callable[[web.Application], Awaitable[ClientSession]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve an application; answer with a client whose base is that server."""
    async with AsyncExitStack() as stack:

        async def start(app: web.Application) -> ClientSession:
            server = WebServer("127.0.0.1", 0, app, grace=1)
            await server.start()
            stack.push_async_callback(server.stop)
            base = f"http://127.0.0.1:{server.port}"
            return await stack.enter_async_context(ClientSession(base))

        yield start
