"""Notes a delivery in the ledger, again where it is away, so that no message is sent twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from bot.cancellation.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Seconds between tries.
PAUSES = (0.2, 1.0, 3.0)

log = structlog.get_logger(__name__)


async def retry_write(
    note: Callable[[], Awaitable[None]], sleep: Callable[[float], Awaitable[object]]
) -> None:
    """Call `note` until the ledger takes it; raises `LedgerError` after the last try."""
    for seconds in PAUSES:
        try:
            await note()
        except LedgerError as error:
            log.warning("delivery not noted yet", error=error.sentence)
            await sleep(seconds)
        else:
            return
    await note()
