"""A periodic job of each replica: expires requests, starts unowned ones, prunes old ones."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from bot.services.runner import Runner
from bot.storage.database import DatabaseClock
from bot.storage.lease_store import LeaseStore
from bot.storage.request_store import RequestStore
from bot.tasks import repeat

#: How long an ended request keeps its row, and so its buttons; its audit events stay for ever.
RETENTION = timedelta(days=90)
#: Sweeps between two prunings: about an hour.
SWEEPS_PER_PRUNE = 1800


@dataclass(kw_only=True, eq=False)
class Sweeper:
    """Finds due work in the database. Replicas may race: each change has one winner."""

    requests: RequestStore
    leases: LeaseStore
    runner: Runner
    clock: DatabaseClock  #: each sweep adjusts it
    interval: float  #: mean seconds between two sweeps
    on_sweep: Callable[[int, int], None]  #: gets the numbers of open and of unreviewed requests
    on_change: Callable[[], None]  #: called when a request expired, so that its card is edited
    sweeps: int = 0

    async def run(self) -> None:
        """Sweep until cancelled; errors are logged and the next sweep tries again."""
        await repeat(self.sweep, self.interval, "sweep failed")

    async def sweep(self) -> None:
        """Do one sweep."""
        await self.clock.set()
        if await self.requests.expire_due():
            self.on_change()
        for request_id in await self.leases.list_runnable():
            self.runner.start(request_id)
        pending = await self.requests.count_open()
        self.on_sweep(pending, await self.requests.count_unreviewed())
        if self.sweeps % SWEEPS_PER_PRUNE == 0:
            await self.requests.prune(self.clock() - RETENTION)
        self.sweeps += 1
