"""The lease of the active process: one row, whose holder alone decides, sends and posts."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select, update

from bot.cancellation.errors import NotActive
from bot.storage.database import Database
from bot.storage.tables import lease

LEASE_SECONDS = 10.0  #: without a renewal another process takes over after this time


def boot_time() -> float:
    """Return seconds of a clock that never jumps and also runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def lock_lease(db: Connection) -> None:
    """Keep every other write out until this transaction ends; SQLite has one writer anyway."""
    db.execute(select(lease.c.id).with_for_update()).one()


@dataclass(eq=False)
class Lease:
    """The lease as one process sees it. Every async method raises `StorageError`.

    What `serve` builds holds the `Lease` with which it became active, and the next take-over has
    another one: a part that outlives its lease never proves the number of a later one.
    """

    database: Database
    holder: str  #: the name of this process, new at each start
    seconds: float = LEASE_SECONDS
    number: int | None = field(default=None, init=False)  #: while this process holds the lease
    _safe_until: float = field(default=0.0, init=False)  #: by `boot_time`

    @property
    def is_held(self) -> bool:
        """Whether no other process can hold it now: checked before each call of Slack or Atlas."""
        return self.number is not None and boot_time() < self._safe_until

    async def take(self, free_for: float = 0.0) -> bool:
        """Take the lease if it has been free for these seconds; False otherwise."""
        began = boot_time()
        self.number = await self.database.write_in_turn(
            lock_lease, lambda db: self._take(db, free_for)
        )
        self._safe_until = began + self.seconds
        return self.number is not None

    async def renew(self) -> bool:
        """Extend the lease; False if another process has taken it."""
        began = boot_time()
        if await self.database.write_in_turn(lock_lease, self._renew):
            self._safe_until = began + self.seconds
            return True
        self.number = None
        return False

    async def release(self) -> None:
        """End the lease, so that another process takes over at once."""
        number, self.number = self.number, None
        if number is not None:
            await self.database.write_in_turn(lock_lease, lambda db: self._end(db, number))

    def check(self, db: Connection) -> None:
        """Prove in a transaction that the lease is held; raises `NotActive`."""
        row = db.execute(select(lease).with_for_update()).one()
        is_own = row.holder == self.holder and row.number == self.number
        if not is_own or row.expires_at <= _now(db):
            raise NotActive

    def _take(self, db: Connection, free_for: float) -> int | None:
        if not self._is_free(db, free_for):
            return None
        number = db.execute(select(lease.c.number)).scalar_one() + 1
        expires_at = _now(db) + timedelta(seconds=self.seconds)
        db.execute(update(lease).values(holder=self.holder, number=number, expires_at=expires_at))
        return int(number)

    def _is_free(self, db: Connection, free_for: float) -> bool:
        row, now = db.execute(select(lease)).one(), _now(db)
        free_since = now - timedelta(seconds=free_for)
        # No lease ends later than this: the clock was set back since.
        latest = now + 2 * timedelta(seconds=self.seconds)
        return bool(row.expires_at <= free_since or row.expires_at > latest)

    def _renew(self, db: Connection) -> bool:
        expires_at = _now(db) + timedelta(seconds=self.seconds)
        is_own = (lease.c.holder == self.holder, lease.c.number == self.number)
        return bool(db.execute(update(lease).where(*is_own).values(expires_at=expires_at)).rowcount)

    def _end(self, db: Connection, number: int) -> None:
        is_own = (lease.c.holder == self.holder, lease.c.number == number)
        # A stored time is rounded: one that is not before now would keep a successor out.
        ended_at = _now(db) - timedelta(milliseconds=1)
        db.execute(update(lease).where(*is_own).values(expires_at=ended_at))


def _now(db: Connection) -> datetime:
    """Return the time of the database's machine, which all processes share."""
    if db.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = db.execute(select(func.clock_timestamp())).scalar_one()
    return now
