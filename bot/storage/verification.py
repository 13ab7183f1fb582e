"""Verifies the audit log: the chain of all events, and the rows against a replay of their events.

Both are streamed, so memory does not grow with the audit log. Only events that change a row
are named here: a state has the event that enters it, so a new one needs no change. Rows are read as
they are stored: SQLite stores any type in any column, also values that the bot never writes.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Row,
    Select,
    Table,
    Text,
    false,
    func,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.events import STATES, EventName, Recorded, is_about_job, subject_of
from bot.cancellation.lifecycle import Outcome, State
from bot.storage import queries
from bot.storage.database import milliseconds
from bot.storage.tables import Instant, approvals, ask_columns, audit_events, metadata, requests

#: What a row raises that another program has changed.
DAMAGE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
_LAST_INSTANT = milliseconds(datetime(9999, 12, 31, tzinfo=UTC))


def as_stored(table: Table) -> Select[Any]:
    """Read a table without conversions, for which a value that was tampered with is an error."""
    return select(*map(_stored, table.c))


def _stored(column: Column[Any]) -> ColumnElement[Any]:
    kinds = {Instant: BigInteger(), Boolean: BigInteger()}
    return type_coerce(column, kinds.get(type(column.type), column.type)).label(column.name)


def _damaged_rows(db: Connection) -> Iterator["AuditBreak"]:
    for table in metadata.sorted_tables:
        for row in db.execute(_damaged(table, is_sqlite=db.dialect.name == "sqlite")).mappings():
            key = {each.name: row[f"key_{each.name}"] for each in table.primary_key.columns}
            texts = (each if isinstance(each, str) else repr(each) for each in key.values())
            columns = ", ".join(each.name for each in table.c if row[each.name])
            yield AuditBreak(
                request=key.get({requests: "id", approvals: "request"}.get(table, ""), ""),
                row=f"row {' '.join(texts)} of {table.name}",
                why=f"is damaged ({columns})",
            )


@cache  # to build it takes longer than to run it
def _damaged(table: Table, *, is_sqlite: bool) -> Select[Any]:
    """Select up to `MAX_BREAKS` rows with values of another type or out of range."""
    damage = {each.name: _is_damaged(each, is_sqlite=is_sqlite) for each in table.c}
    keys = [_stored(each).label(f"key_{each.name}") for each in table.primary_key.columns]
    found = select(*keys, *(each.label(name) for name, each in damage.items()))
    return found.where(or_(*damage.values())).limit(MAX_BREAKS)


def _is_damaged(column: Column[Any], *, is_sqlite: bool) -> ColumnElement[bool]:
    """Return the condition; PostgreSQL checks types, but not that a moment has a year."""
    kind, value = column.type, type_coerce(column, BigInteger())
    is_number = not isinstance(kind, Text)
    conditions: list[ColumnElement[bool]] = []
    if is_sqlite:
        allowed = ["integer" if is_number else "text", *(["null"] if column.nullable else [])]
        conditions.append(func.typeof(column).not_in(allowed))
    if isinstance(kind, Instant):
        conditions.append(~value.between(0, _LAST_INSTANT))
    elif isinstance(kind, Boolean) and is_sqlite:
        conditions.append(value.not_in([0, 1]))
    return func.coalesce(or_(false(), *conditions), false())


BATCH_SIZE = 1000  #: events read by one query
ROWS_BATCH_SIZE = 200  #: requests whose rows are read by one query
MAX_BREAKS = 100  #: breaks that are reported at most: one change of the order breaks every link
REFERENCE = re.compile(r"[0-9a-f]+ [0-9]{1,18} .*", re.DOTALL)  #: the form of `Recorded.reference`
#: When an approval was given, and when it was voided, in milliseconds of Unix time.
ApprovalTimes = tuple[int, int | None]
_OUTCOME = tuple(each.name for each in fields(Outcome))
CHANGED = "was changed"
MISSING = "is missing"
MOVED = "is not in its place"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditBreak:
    """An event that was changed or is missing, or a row that is damaged or disagrees with them."""

    request: str = ""  #: as in the event; empty for the end of the audit log
    number: int | None = None  #: the event's number, or None for the row
    row: str = ""  #: a row with values that the bot never writes, of any table
    why: str  #: a clause

    def __str__(self) -> str:
        if self.row:
            return f"{self.row} {self.why}"
        if not self.request:
            return f"the stored end of the chain {self.why}"
        if self.number is None:
            return f"the row of request {self.request} {self.why}"
        kind = "job" if is_about_job(self.request) else "request"
        return f"event {self.number} of {kind} {subject_of(self.request)} {self.why}"


@dataclass(slots=True)
class Replay:
    """A request by its events."""

    count: int = 0  #: how many events there are, up to the first missing number
    gap: bool = False  #: whether a number is missing after them
    last: str = ""  #: the name of the last event
    columns: dict[str, Any] = field(default_factory=dict)  #: an outcome without its empty fields
    approvals: dict[str, ApprovalTimes] = field(default_factory=dict)  #: by user

    def add(self, line: Recorded) -> None:
        """Apply the next event; raises any error of `DAMAGE` where the bot did not write it."""
        if self.gap or line.number != self.count + 1:
            self.gap = True
            return
        self.count, self.last = line.number, line.event
        self.columns["event_count"] = line.number
        detail = json.loads(line.detail)
        if state := STATES.get(line.event):
            self._enter(state, line, detail)
        else:
            self._apply(line, detail)
        if "approvals_needed" in detail:
            self.columns["approvals_needed"] = detail["approvals_needed"]
        if "expires_at" in detail:
            self.columns["expires_at"] = _moment(detail["expires_at"])

    def _enter(self, state: State, line: Recorded, detail: Mapping[str, Any]) -> None:
        if state is State.APPROVED and line.actor:
            self.approvals[line.actor] = (_moment(line.at), None)
        outcome = {name: detail[name] for name in _OUTCOME if detail.get(name)}
        self.columns |= {"state": state, "outcome": outcome}

    def _apply(self, line: Recorded, detail: Mapping[str, Any]) -> None:
        match line.event:
            case EventName.CREATED:
                self._create(line, detail)
            case EventName.ACTED_ALONE:
                self.columns["acted_alone"] = True
            case EventName.REVIEWED:
                self.columns |= {"reviewed_by": line.actor, "reviewed_at": _moment(line.at)}
            case EventName.APPROVAL_GIVEN:
                self.approvals[line.actor or ""] = (_moment(line.at), None)
            case EventName.APPROVAL_VOIDED:
                given_at, _ = self.approvals[detail["user"]]
                self.approvals[detail["user"]] = (given_at, _moment(line.at))
            case EventName.RETRIED:
                self._retry(detail)
            case EventName.CANCEL_SENT:
                self.columns |= {"delete_count": detail["try"], "delete_unknown": True}
            case EventName.CANCEL_ANSWERED:
                self.columns["delete_accepted"] = detail["accepted"]
                self.columns["delete_unknown"] = detail["unknown"]
            case EventName.CARD_MOVED:
                self.columns["channel"] = detail["to"]

    def _retry(self, detail: Mapping[str, Any]) -> None:
        if not detail.get("approvals_kept"):
            self.approvals.clear()
        self.columns["delete_unknown"] |= self.columns["delete_accepted"]
        self.columns["delete_accepted"] = False

    def _create(self, line: Recorded, detail: Mapping[str, Any]) -> None:
        self.columns |= ask_columns(detail)
        self.columns |= {
            "state": detail["state"],
            "channel": detail["channel"],
            "requester": line.actor or "",
            "team": line.team,
            "acted_alone": False,
            "reviewed_by": None,
            "reviewed_at": None,
            "delete_count": 0,
            "delete_accepted": False,
            "delete_unknown": False,
            "outcome": {},
        }

    def differences(self, row: Any, approvals: Mapping[str, ApprovalTimes]) -> list[str]:  # noqa: ANN401 - a database row
        """Return the columns in which the stored rows differ."""
        stored = {name: getattr(row, name) for name in self.columns}
        stored["outcome"] = _outcome(row.outcome)
        names = [name for name, value in self.columns.items() if stored[name] != value]
        return names if approvals == self.approvals else [*names, "approvals"]


def _moment(text: str) -> int:
    return milliseconds(datetime.fromisoformat(text))


def _outcome(text: Any) -> object:  # noqa: ANN401 - any value of the column
    try:
        return {name: value for name, value in json.loads(text).items() if value}
    except DAMAGE:
        return None


def find_breaks(db: Connection) -> list[AuditBreak]:
    """Return what was changed or is missing, without repetition, the first event first."""
    broken = dict.fromkeys(islice(_chain_breaks(db), MAX_BREAKS))
    # The rows of a request whose events were changed say nothing more.
    named = {each.request for each in broken}
    rows = [each for each in islice(_row_breaks(db), MAX_BREAKS) if each.request not in named]
    named |= {each.request for each in rows}
    damaged = _damaged_rows(db)
    more = (each for each in damaged if not each.request or each.request not in named)
    return list(islice(chain(broken, rows, more), MAX_BREAKS))


def _stream(db: Connection, statement: Select[Any]) -> Iterator[Row[Any]]:
    return iter(db.execute(statement, execution_options={"yield_per": BATCH_SIZE}))


def _chain_breaks(db: Connection) -> Iterator[AuditBreak]:
    """Verify each event's hash, and that it follows the event to which it was chained."""
    before = ""
    for row in _stream(db, queries.RECORDED.order_by(audit_events.c.id)):
        line = queries.to_recorded(row)
        if line.hash != line.expected_hash:
            yield AuditBreak(request=line.request, number=line.number, why=CHANGED)
        elif not line.previous and before:
            yield AuditBreak(request=line.request, number=line.number, why=MOVED)
        elif line.previous != before:
            is_reference = REFERENCE.fullmatch(line.previous)
            event = AuditBreak(request=line.request, number=line.number, why=CHANGED)
            yield _broken_link(db, line.previous, before) if is_reference else event
        before = line.reference
    head = str(db.execute(queries.CHAIN_HEAD).scalar_one_or_none())
    if head != before:
        is_reference = REFERENCE.fullmatch(head)
        yield _broken_link(db, head, before) if is_reference else AuditBreak(why=CHANGED)


def _broken_link(db: Connection, expected: str, found: str) -> AuditBreak:
    """Say what became of the event `expected`, in whose place is `found`: both are references."""
    _, number, request = expected.split(" ", 2)
    event = AuditBreak(request=request, number=int(number), why=MOVED)
    if found.partition(" ")[2] == expected.partition(" ")[2]:
        return replace(event, why=CHANGED)
    numbers = select(audit_events.c.number).where(audit_events.c.request == request)
    present = set(db.execute(numbers).scalars())
    missing = next((each for each in range(1, int(number) + 1) if each not in present), None)
    return replace(event, number=missing, why=MISSING) if missing else event


def _row_breaks(db: Connection) -> Iterator[AuditBreak]:
    """Compare the row of each request, and those of its approvals, with its events."""
    events = _stream(db, queries.EVENTS)
    groups = groupby(events, attrgetter("request"))
    of_requests = (each for each in groups if each[0] and not is_about_job(each[0]))
    replays = ((request, _replay(lines)) for request, lines in of_requests)
    while batch := dict(islice(replays, ROWS_BATCH_SIZE)):
        stored = as_stored(requests).where(requests.c.id.in_(list(batch)))
        rows = {row.id: row for row in db.execute(stored)}
        given = _approvals(db, batch)
        for request, replayed in batch.items():
            if difference := _compare(replayed, rows.get(request), given[request]):
                number, why = difference
                yield AuditBreak(request=request, number=number, why=why)
    without_events = select(requests.c.id).except_(select(audit_events.c.request))
    for request in db.execute(without_events).scalars():
        yield AuditBreak(request=request, number=1, why=MISSING)


def _replay(rows: Iterable[Row[Any]]) -> Replay | None:
    """Replay the events of one request; None if the bot did not write them."""
    result = Replay()
    try:
        for row in rows:
            result.add(queries.to_recorded(row))
    except DAMAGE:
        return None
    return result


def _approvals(db: Connection, ids: Iterable[str]) -> Mapping[str, dict[str, ApprovalTimes]]:
    found: defaultdict[str, dict[str, ApprovalTimes]] = defaultdict(dict)
    for row in db.execute(as_stored(approvals).where(approvals.c.request.in_(list(ids)))):
        found[row.request][row.user] = (row.at, row.voided_at)
    return found


def _compare(
    replayed: Replay | None, row: Row[Any] | None, approvals: Mapping[str, ApprovalTimes]
) -> tuple[int | None, str] | None:
    """Return the number of a missing event or None, and a clause; None if all agrees."""
    if replayed is None:
        return None, "cannot be compared with its events"
    is_short = row and isinstance(row.event_count, int) and replayed.count < row.event_count
    if is_short or replayed.gap:
        return replayed.count + 1, MISSING
    if row is None:
        return None if replayed.last == EventName.PRUNED else (None, MISSING)
    differences = replayed.differences(row, approvals)
    return (None, f"disagrees with its events ({', '.join(differences)})") if differences else None
