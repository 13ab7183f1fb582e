"""Real servers on this machine: the bot's with a client for it, and those of tests."""

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


@asynccontextmanager
async def listening(app: web.Application, port: int = 0, grace: float = 0.1) -> AsyncIterator[int]:
    """Serve an application of a test; give its port. Open calls have `grace` seconds to end."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=grace)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
