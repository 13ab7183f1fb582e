"""The tables' partial indexes, which make `metadata` whole: for migrating and its tests alone.

Their conditions are an option of each database, so SQLAlchemy loads both dialects for them. A
running bot needs one, and tables that know their columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Index, text

from bot.cancellation.tables import metadata, posts, requests, sightings

if TYPE_CHECKING:
    from sqlalchemy import Column

__all__ = ["metadata"]


def _partial(name: str, condition: str, *columns: Column[Any], unique: bool = False) -> None:
    """Add an index of the rows for which `condition` holds to the columns' table."""
    where = text(condition)
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_OPEN = "state IN ('awaiting', 'approved', 'cancelling')"
_ENDED = "state NOT IN ('awaiting', 'approved', 'cancelling')"

# Only one open request a job: the database itself decides between two people.
_job = (requests.c.project_id, requests.c.cluster_name, requests.c.job_id)
_partial("one_open_request_a_job", _OPEN, *_job, unique=True)

# The sweeper looks at open requests only, however long the history is.
_partial("open_requests", _OPEN, requests.c.state, requests.c.expires_at)

# What ended long ago is forgotten; the rest of the history is not read for that.
_partial("ended_requests", _ENDED, requests.c.changed_at)

_partial("due_posts", "state = 'due'", posts.c.request, posts.c.id)
_partial("due_posts_in_order", "state = 'due'", posts.c.id)

_partial("due_sightings", "due_at IS NOT NULL", sightings.c.due_at)

# However long the history is, a look asks only which jobs are still open.
_partial("open_sightings", "state IN ('in_progress', 'link_live')", sightings.c.project_id)
