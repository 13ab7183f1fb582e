"""One loop a replica: waits that ran out, and requests that nobody runs."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import structlog

from bot.cancellation.errors import CancellationError
from bot.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from bot.services.service import Runs
    from bot.storage.request_store import RequestStore

#: How long a request is kept after its end, with its buttons; its record is kept for ever.
KEPT = timedelta(days=90)

#: Sweeps between two prunings: about an hour.
PRUNE_EVERY = 1800

log = structlog.get_logger(__name__)


class ToRun(Protocol):
    """Where the sweeper finds what nobody runs; `Leases` is the real one."""

    async def to_run(self) -> Sequence[str]: ...


class Clock(Protocol):
    """The ledger's time; `LedgerClock` is the real one."""

    def __call__(self) -> datetime: ...
    async def set(self) -> None: ...


class Sweeper:
    """Finds what time has made due. Losing a race against another replica costs nothing."""

    def __init__(
        self,
        ledger: RequestStore,
        to_run: ToRun,
        runs: Runs,
        *,
        clock: Clock,
        interval: float = Timings.sweep_interval,
        swept: Callable[[int], None] = lambda _pending: None,
        told: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._to_run = to_run
        self._runs = runs
        self._swept = swept
        self._told = told
        self._sleep = sleep
        self._clock = clock
        self._interval = interval
        self._sweeps = 0

    async def run(self) -> None:
        """Sweep until cancelled; a database that is away is looked for again."""
        while True:
            try:
                await self.sweep()
            except CancellationError as error:
                log.warning("sweep interrupted", why=str(error))
            except Exception:
                log.exception("sweep broke off")
            await self._sleep(self._interval * random.uniform(0.5, 1.5))  # noqa: S311 - no secret

    async def sweep(self) -> None:
        """Look once."""
        await self._clock.set()
        if await self._ledger.expire_due():
            self._told()
        for request_id in await self._to_run.to_run():
            self._runs.start(request_id)
        self._swept(await self._ledger.count_open())
        if self._sweeps % PRUNE_EVERY == 0:
            await self._ledger.prune(self._clock() - KEPT)
        self._sweeps += 1
