"""The ledger's tables with their partial indexes: what a new database gets, and tests compare.

The condition of a partial index is an option of each kind of database. A running bot needs none of
them, only tables that know their columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Index, MetaData, text

from bot.storage.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator


class Partial(NamedTuple):
    """An index of those rows of a table for which `where` holds."""

    name: str
    table: str
    columns: tuple[str, ...]
    where: str
    unique: bool = False


_OPEN = "state IN ('awaiting', 'approved', 'cancelling')"
_ENDED = "state NOT IN ('awaiting', 'approved', 'cancelling')"
_DUE = "state = 'due'"


def _partial_indexes() -> Iterator[Partial]:
    # Only one open request a job: the database itself decides between two people.
    job = ("project_id", "cluster_name", "job_id")
    yield Partial("one_open_request_a_job", "requests", job, _OPEN, unique=True)

    # The sweeper looks at open requests only, however long the history is.
    yield Partial("open_requests", "requests", ("state", "expires_at"), _OPEN)

    # What ended long ago is forgotten; the rest of the history is not read for that.
    yield Partial("ended_requests", "requests", ("changed_at",), _ENDED)

    yield Partial("due_posts", "posts", ("request", "id"), _DUE)
    yield Partial("due_posts_in_order", "posts", ("id",), _DUE)

    yield Partial("due_sightings", "sightings", ("due_at",), "due_at IS NOT NULL")

    # However long the history is, a look asks only which jobs are still open.
    still_open = "state IN ('in_progress', 'link_live')"
    yield Partial("open_sightings", "sightings", ("project_id",), still_open)


def whole_schema(database: str) -> MetaData:
    """Return every table with all its indexes, for a database of that name in SQLAlchemy."""
    whole = MetaData()
    for table in metadata.sorted_tables:
        table.to_metadata(whole)
    for name, table_name, columns, where, unique in _partial_indexes():
        of_table = whole.tables[table_name].c
        option: dict[str, Any] = {f"{database}_where": text(where)}
        Index(name, *(of_table[column] for column in columns), unique=unique, **option)
    return whole
