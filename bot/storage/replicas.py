"""What the replicas share: which one leads, the connections of each, and limits of Slack."""

import json
from dataclasses import dataclass
from datetime import timedelta

from pydantic import TypeAdapter
from sqlalchemy import case, delete, func, insert, literal, or_, select, update

from bot.cancellation.errors import NotRecorded
from bot.storage.database import MILLISECONDS, has_passed, milliseconds, read_value
from bot.storage.tables import leases, slack_calls, slack_connections
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

_times_from_json = TypeAdapter(list[int]).validate_json
LEADER = "leader"  #: the name of the lease
FILE = "settings file"  #: the name of the row whose owner is a digest


@dataclass(eq=False)
class LeaderLease(Store):
    """One row; the clock is the database's. Every method raises `StorageError`."""

    owner: str  #: the name of this process, new at each start
    seconds: float  #: for which the lease holds without renewal

    @writes
    def acquire(self, uow: UnitOfWork) -> bool:
        """Acquire or renew the lease; False while another replica holds it."""
        lease = timedelta(seconds=self.seconds)
        values = {"owner": self.owner, "until": uow.now + lease}
        is_over = has_passed(leases.c.until, uow.now, uow.now + 2 * lease)
        is_free = or_(leases.c.owner == self.owner, is_over)
        taken = update(leases).where(leases.c.name == LEADER, is_free)
        if uow.execute(taken.values(**values)).rowcount:
            return True
        if uow.execute(select(leases).where(leases.c.name == LEADER)).first():
            return False
        uow.execute(insert(leases), {"name": LEADER, **values})  # its key decides between two
        return True

    @writes
    def release(self, uow: UnitOfWork) -> None:
        """End the lease, so that another replica leads immediately."""
        is_own = (leases.c.name == LEADER, leases.c.owner == self.owner)
        uow.execute(update(leases).where(*is_own).values(until=uow.now))

    @writes
    def share_file(self, uow: UnitOfWork, digest: str, *, leads: bool) -> str:
        """Store the digest of the leader's settings file; return it, or `digest` without one."""
        is_file = leases.c.name == FILE
        stored = uow.execute(select(leases.c.owner).where(is_file)).scalar()
        if leads and stored is None:
            uow.execute(insert(leases), {"name": FILE, "owner": digest, "until": uow.now})
        elif leads and stored != digest:
            uow.execute(update(leases).where(is_file).values(owner=digest))
        return digest if leads or stored is None else str(stored)

    def check_held(self, uow: UnitOfWork) -> None:
        """Keep the lease until the transaction ends; raises `NotRecorded` if it was lost."""
        is_held = (leases.c.owner == self.owner, leases.c.until > self.now())
        held = select(leases.c.name).where(leases.c.name == LEADER, *is_held)
        if uow.execute(held.with_for_update(read=True)).first() is None:
            raise NotRecorded


LIFETIME = timedelta(seconds=15)  #: after which a process without a report holds none


@dataclass(eq=False)
class ConnectionStore(Store):
    """One row for each process."""

    background = "loops"

    owner: str  #: the name of this process, different at each start

    @writes
    def report(self, uow: UnitOfWork, held: int) -> int:
        """Store how many connections this process holds; return how many the others hold."""
        columns = slack_connections.c
        is_dead = has_passed(columns.seen_at, uow.now - LIFETIME, uow.now + LIFETIME)
        uow.execute(delete(slack_connections).where(is_dead, columns.owner != self.owner))
        values = {"connections": held, "seen_at": uow.now}
        own = update(slack_connections).where(columns.owner == self.owner)
        if not uow.execute(own.values(**values)).rowcount:
            uow.execute(insert(slack_connections).values(owner=self.owner, **values))
        others = select(func.coalesce(func.sum(columns.connections), 0))
        return int(uow.execute(others.where(columns.owner != self.owner)).scalar_one())


SLACK = "Slack"  #: the owner of the lease of a paused method
LONGEST_PAUSE = timedelta(minutes=6)  #: a later end was written before the clock was set back


class CallBudget(Store):
    """One row for each method of Slack, and a lease of it for its Retry-After.

    The clock is the database's.
    """

    @reads
    def paused(self, uow: UnitOfWork, method: str) -> float:
        """Return the seconds for which no replica may call a method."""
        return _pause(uow, method)

    @writes
    def take(
        self, uow: UnitOfWork, method: str, limit: int, window: float, ahead: int = 0
    ) -> float:
        """Count a call, or return the seconds until fewer than `limit` are in the window.

        Those are the seconds for a call that waits after `ahead` others, or of a pause. Raises
        `StorageError`, after which the call must not be made.
        """
        if seconds := _pause(uow, method):
            return seconds
        is_method = slack_calls.c.method == method
        row = uow.execute(select(slack_calls).where(is_method).with_for_update()).first()
        now = milliseconds(uow.now)
        began, end = (milliseconds(uow.now + timedelta(seconds=each)) for each in (-window, window))
        # A later time than the end was written before the clock was set back.
        known = read_value(row, slack_calls.c.at, _times_from_json, list[int]()) if row else []
        recent = [at for at in known if began < at <= end]
        if len(recent) >= limit:
            windows, place = divmod(ahead, limit)
            return (sorted(recent)[place - limit] - began) / MILLISECONDS + windows * window
        values = {"method": method, "at": json.dumps([*recent, now])}
        if row is None:
            uow.execute(insert(slack_calls), values)  # its key decides between two
        else:
            uow.execute(update(slack_calls).where(is_method).values(**values))
        return 0.0

    @writes
    def pause(self, uow: UnitOfWork, method: str, seconds: float) -> None:
        """Let no replica call a method for `seconds`: Slack's Retry-After; a later end stays."""
        until = uow.now + timedelta(seconds=seconds)
        is_later = leases.c.until.between(until, uow.now + LONGEST_PAUSE)
        end = case((is_later, leases.c.until), else_=literal(until, leases.c.until.type))
        known = update(leases).where(leases.c.name == method).values(until=end)
        if not uow.execute(known).rowcount:
            uow.execute(insert(leases), {"name": method, "owner": SLACK, "until": until})


def _pause(uow: UnitOfWork, method: str) -> float:
    until = uow.execute(select(leases.c.until).where(leases.c.name == method)).scalar()
    is_paused = until and uow.now < until <= uow.now + LONGEST_PAUSE
    return float((until - uow.now).total_seconds()) if is_paused else 0.0
