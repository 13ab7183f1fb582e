"""Serves an aiohttp application on a free port, and prints the port in one JSON line."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(build: Callable[[], web.Application]) -> None:
    """Serve until a signal ends the program."""
    asyncio.run(_serve(build))


async def _serve(build: Callable[[], web.Application]) -> None:
    runner = web.AppRunner(build(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"port": runner.addresses[0][1]}) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
