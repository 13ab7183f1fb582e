"""Finds values that the bot never writes: SQLite stores any type in any column."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
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

from bot.storage.tables import Instant, metadata, milliseconds

#: What a row raises that another program has changed.
DAMAGE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
_LAST_INSTANT = milliseconds(datetime(9999, 12, 31, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class DamagedRow:
    table: Table
    key: dict[str, Any]  #: the values of the primary key, as they are stored
    columns: tuple[str, ...]  #: the names of those with damaged values

    def __str__(self) -> str:
        key = " ".join(each if isinstance(each, str) else repr(each) for each in self.key.values())
        return f"row {key} of {self.table.name}"


def as_stored(table: Table) -> Select[Any]:
    """Read a table without conversions, for which a value that was tampered with is an error."""
    return select(*map(_stored, table.c))


def _stored(column: Column[Any]) -> ColumnElement[Any]:
    kinds = {Instant: BigInteger(), Boolean: BigInteger()}
    return type_coerce(column, kinds.get(type(column.type), column.type)).label(column.name)


def damaged_rows(db: Connection, limit: int) -> Iterator[DamagedRow]:
    """Name up to `limit` rows of each table with values of another type or out of range."""
    is_sqlite = db.dialect.name == "sqlite"
    for table in metadata.sorted_tables:
        damage = {each.name: _is_damaged(each, is_sqlite=is_sqlite) for each in table.c}
        keys = [_stored(each).label(f"key_{each.name}") for each in table.primary_key.columns]
        found = select(*keys, *(each.label(name) for name, each in damage.items()))
        for row in db.execute(found.where(or_(*damage.values())).limit(limit)).mappings():
            key = {each.name: row[f"key_{each.name}"] for each in table.primary_key.columns}
            yield DamagedRow(table, key, tuple(name for name in damage if row[name]))


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
