"""A periodic job of each replica: expires requests, starts unowned ones, prunes old ones."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from bot.cancellation.errors import CancellationError
from bot.services.runner import Runner
from bot.storage.database import DatabaseClock
from bot.storage.lease_store import LeaseStore
from bot.storage.request_store import RequestStore
from bot.timings import Timings

#: How long an ended request keeps its row, and so its buttons; its audit events stay for ever.
RETENTION = timedelta(days=90)

#: Sweeps between two prunings: about an hour.
SWEEPS_PER_PRUNE = 1800

log = structlog.get_logger(__name__)


class Sweeper:
    """Finds due work in the database. Replicas may race: each change has one winner.

    Args:
        requests: expires, counts and prunes requests.
        leases: lists the requests that may be claimed.
        runner: runs them.
        clock: the database's time; each sweep adjusts it.
        interval: mean seconds between two sweeps.
        on_sweep: called after each sweep with the numbers of open and of unreviewed requests.
        on_change: called when a request expired, so that its card is edited at once.
    """

    def __init__(
        self,
        requests: RequestStore,
        leases: LeaseStore,
        runner: Runner,
        *,
        clock: DatabaseClock,
        interval: float = Timings.sweep_interval,
        on_sweep: Callable[[int, int], None] = lambda _pending, _unreviewed: None,
        on_change: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._requests = requests
        self._leases = leases
        self._runner = runner
        self._clock = clock
        self._interval = interval
        self._on_sweep = on_sweep
        self._on_change = on_change
        self._sleep = sleep
        self._sweeps = 0

    async def run(self) -> None:
        """Sweep until cancelled; errors are logged and the next sweep tries again."""
        while True:
            try:
                await self.sweep()
            except CancellationError as error:
                log.warning("sweep interrupted", why=str(error))
            except Exception:
                log.exception("sweep broke off")
            await self._sleep(self._interval * random.uniform(0.5, 1.5))  # noqa: S311 - no secret

    async def sweep(self) -> None:
        """Do one sweep."""
        await self._clock.set()
        if await self._requests.expire_due():
            self._on_change()
        for request_id in await self._leases.list_runnable():
            self._runner.start(request_id)
        pending = await self._requests.count_open()
        self._on_sweep(pending, await self._requests.count_unreviewed())
        if self._sweeps % SWEEPS_PER_PRUNE == 0:
            await self._requests.prune(self._clock() - RETENTION)
        self._sweeps += 1
