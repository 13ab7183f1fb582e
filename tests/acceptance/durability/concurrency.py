"""Runs environments at the same time, so that their waits for leases overlap."""

import asyncio
from collections.abc import Coroutine, Mapping

#: Environments that run concurrently.
MAX_CONCURRENT_ENVIRONMENTS = 13


async def run_concurrently(work: Mapping[str, Coroutine[object, object, None]]) -> None:
    """Run every environment; failures come together, each with its name."""
    slots = asyncio.Semaphore(MAX_CONCURRENT_ENVIRONMENTS)

    async def named(name: str, each: Coroutine[object, object, None]) -> None:
        async with slots:
            try:
                await each
            except Exception as error:
                error.add_note(f"in the environment: {name}")
                raise

    results = await asyncio.gather(*(named(*item) for item in work.items()), return_exceptions=True)
    if failed := [error for error in results if isinstance(error, Exception)]:
        raise ExceptionGroup("not every request came to its end", failed)
