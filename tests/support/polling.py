"""Polls conditions that have no event."""

import asyncio
from collections.abc import Callable


async def wait_until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Evaluate `holds` every few milliseconds until it is true; raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is awaited sets no event
            await asyncio.sleep(0.005)
