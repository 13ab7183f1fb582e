"""Indexes of what is due and of what has ended, so that no look reads a whole history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

DUE = sa.text("state = 'due'")
ENDED = sa.text("state NOT IN ('awaiting', 'approved', 'cancelling')")


def upgrade() -> None:
    """Add two indexes."""
    op.create_index("due_posts_in_order", "posts", ["id"], sqlite_where=DUE, postgresql_where=DUE)
    op.create_index(
        "ended_requests", "requests", ["changed_at"], sqlite_where=ENDED, postgresql_where=ENDED
    )
