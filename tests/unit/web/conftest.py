"""A real server on a free port, and a client for it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.web import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aiohttp import ClientSession, web

    Serve = Callable[[web.Application], Awaitable[ClientSession]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve an application; answer with a client whose base is that server."""
    async with AsyncExitStack() as stack:

        async def start(app: web.Application) -> ClientSession:
            return await stack.enter_async_context(serving(app))

        yield start
