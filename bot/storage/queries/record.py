"""Statements about the record as a whole: the head of its chain, and what `audit verify` reads."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    Select,
    Table,
    exists,
    select,
    type_coerce,
    update,
)

from bot.storage.tables import Instant, approvals, audit_events, chain_head, requests

CHAIN_HEAD = select(chain_head.c.reference)

#: Transactions that write events wait for each other from here to their commits.
LOCK_CHAIN_HEAD = CHAIN_HEAD.with_for_update()

UPDATE_CHAIN_HEAD = update(chain_head)

#: Reads every event in the order in which they were written.
ALL_EVENTS = select(audit_events).order_by(audit_events.c.id)

#: Lists the requests without any event.
REQUESTS_WITHOUT_EVENTS = select(requests.c.id).where(
    ~exists().where(audit_events.c.request == requests.c.id)
)


def numbers_of(request_id: str, last: int) -> Select[Any]:
    """List the numbers of a request's events up to `last`."""
    of_request = (audit_events.c.request == request_id, audit_events.c.number <= last)
    return select(audit_events.c.number).where(*of_request)


def stored_requests(ids: Iterable[str]) -> Select[Any]:
    """Read the rows of requests as they are stored."""
    return _stored(requests).where(requests.c.id.in_(list(ids)))


def stored_approvals(request_ids: Iterable[str]) -> Select[Any]:
    """Read the rows of the approvals of some requests as they are stored."""
    return _stored(approvals).where(approvals.c.request.in_(list(request_ids)))


def _stored(table: Table) -> Select[Any]:
    """Read a table without conversions, for which a value that was tampered with is an error."""
    kinds = {Instant: BigInteger(), Boolean: Integer()}
    columns = [(column, kinds.get(type(column.type), column.type)) for column in table.c]
    return select(*(type_coerce(column, kind).label(column.name) for column, kind in columns))
