"""Reads the audit log: its lines, and whether the hash chain is intact."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from bot.cancellation.events import canonical, chain
from bot.storage.tables import audit_events
from bot.storage.unit_of_work import Store, UnitOfWork, reads

PAGE = 1000  #: events that are read at once
_COLUMNS = ("at", "event", "request", "actor", "team")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The result of recomputing the chain; `broken` is the first event that is not intact."""

    count: int
    last_hash: str
    broken: str | None = None  #: a clause that names the event, or None


class AuditLog(Store):
    """Every method raises `StorageError`."""

    @reads
    def page(
        self, uow: UnitOfWork, after: int, since: datetime | None, until: datetime | None
    ) -> list[tuple[int, dict[str, Any]]]:
        """Return the next events as lines, each with the number to continue after."""
        statement = select(audit_events).where(audit_events.c.id > after)
        if since:
            statement = statement.where(audit_events.c.at >= _text(since))
        if until:
            statement = statement.where(audit_events.c.at < _text(until))
        rows = uow.execute(statement.order_by(audit_events.c.id).limit(PAGE))
        return [(row.id, {**json.loads(row.body), "hash": row.hash}) for row in rows]

    @reads
    def of_request(self, uow: UnitOfWork, request_id: str) -> list[dict[str, Any]]:
        """Return the events of one request, oldest first."""
        of = audit_events.c.request == request_id
        rows = uow.execute(select(audit_events).where(of).order_by(audit_events.c.id))
        return [{**json.loads(row.body), "hash": row.hash} for row in rows]

    @reads
    def verify(self, uow: UnitOfWork) -> Verification:
        """Recompute the chain from the first event on."""
        count, previous = 0, ""
        for row in self._rows(uow):
            expected = chain(previous, row.body)
            if row.hash != expected or not _is_consistent(row):
                name = f"event {count + 1} ({row.event} at {row.at}, id {row.id})"
                return Verification(count=count, last_hash=previous, broken=name)
            count, previous = count + 1, expected
        return Verification(count=count, last_hash=previous)

    def _rows(self, uow: UnitOfWork) -> Iterator[Row[Any]]:
        after = 0
        statement = select(audit_events).order_by(audit_events.c.id).limit(PAGE)
        while rows := uow.execute(statement.where(audit_events.c.id > after)).all():
            yield from rows
            after = rows[-1].id


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _is_consistent(row: Row[Any]) -> bool:
    """Whether the columns that can be searched are those of the hashed text."""
    try:
        fields = json.loads(row.body)
        is_same = all(fields[name] == getattr(row, name) for name in _COLUMNS)
        return is_same and canonical(fields) == row.body
    except (ValueError, TypeError, KeyError):
        return False
