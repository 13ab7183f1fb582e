"""Reads what the key or service account of a project may do, from the start on."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bot.atlas import AtlasClient, AtlasError, AtlasUnavailable, Credentials, KeyAccess
from bot.timings import DEFAULT_TIMINGS, Timings

log = structlog.get_logger(__name__)


async def take_turn() -> None:
    """Wait for nothing."""


async def follow_key_access(
    atlas: AtlasClient,
    project_id: str,
    credentials: Credentials,
    on_read: Callable[[KeyAccess], None],
    *,
    timings: Timings = DEFAULT_TIMINGS,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    turn: Callable[[], Awaitable[object]] = take_turn,
) -> None:
    """Read the access again and again, and call `on_read` with it; sooner while Atlas is away.

    Each call waits for its `turn`.
    """
    while True:
        pause = timings.key_access_interval
        await turn()
        try:
            on_read(await atlas.key_access(project_id, credentials))
        except AtlasError as error:
            log.info("what the key may do is not known", project=project_id, why=str(error))
            if isinstance(error, AtlasUnavailable):
                pause = timings.key_access_retry
        await sleep(pause)
