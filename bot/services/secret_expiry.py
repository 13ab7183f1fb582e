"""Reads when the secret of a project's service account expires, from the start on."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from bot.atlas import AtlasClient, AtlasError, AtlasUnavailable, ServiceAccount
from bot.timings import DEFAULT_TIMINGS, Timings

log = structlog.get_logger(__name__)


async def follow_secret_expiry(
    atlas: AtlasClient,
    project_id: str,
    account: ServiceAccount,
    on_read: Callable[[datetime], None],
    *,
    timings: Timings = DEFAULT_TIMINGS,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Read the expiry again and again, and call `on_read` with it; sooner while Atlas is away."""
    while True:
        pause, why = timings.secret_expiry_interval, "Atlas does not say when it expires."
        try:
            if expires_at := await atlas.secret_expiry(project_id, account):
                on_read(expires_at)
                why = ""
        except AtlasError as error:
            why = str(error)
            if isinstance(error, AtlasUnavailable):
                pause = timings.secret_expiry_retry
        if why:
            log.info("expiry of the secret is not known", project=project_id, why=why)
        await sleep(pause)
