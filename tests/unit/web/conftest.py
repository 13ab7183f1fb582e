"""A real server on a free port, and a client for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession, web

from tests.support.web import serving

Serve = Callable[[web.Application], Awaitable[ClientSession]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve an application; answer with a client whose base is that server."""
    async with AsyncExitStack() as stack:

        async def start(app: web.Application) -> ClientSession:
            return await stack.enter_async_context(serving(app))

        yield start
