"""How many Socket Mode connections each process holds: Slack counts those of all together."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, insert, select, update

from bot.storage.database import has_passed
from bot.storage.tables import slack_connections
from bot.storage.unit_of_work import Store, UnitOfWork, writes

LIFETIME = timedelta(seconds=15)  #: after which a process without a report holds none


@dataclass(eq=False)
class ConnectionStore(Store):
    """One row for each process."""

    background = True

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
