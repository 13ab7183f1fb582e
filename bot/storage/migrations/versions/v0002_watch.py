"""The watch: what was seen and announced, who looks, and a request's way from its job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
DUE = sa.text("due_at IS NOT NULL")
OPEN = sa.text("state IN ('in_progress', 'link_live')")


def upgrade() -> None:
    """Add three tables and an index."""
    _sightings()
    _watched_clusters()
    _watch_leases()
    op.create_index("requests_by_job", "requests", ["job_id"])


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null)


def _time(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null)


def _sightings() -> None:
    op.create_table(
        "sightings",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        _text("project_id"),
        _text("cluster_name"),
        _text("job_id"),
        _text("state"),
        _text("shown"),
        _time("first_seen_at"),
        _time("changed_at"),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("client_msg_id", sa.Text, nullable=False, unique=True),
        _time("due_at", null=True),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        _time("claimed_until", null=True),
        _text("channel", null=True),
        _text("ts", null=True),
        _text("error", null=True),
        sa.UniqueConstraint("project_id", "cluster_name", "job_id", name="one_sighting_a_job"),
    )
    op.create_index(
        "due_sightings", "sightings", ["due_at"], sqlite_where=DUE, postgresql_where=DUE
    )
    op.create_index(
        "open_sightings", "sightings", ["project_id"], sqlite_where=OPEN, postgresql_where=OPEN
    )


def _watched_clusters() -> None:
    op.create_table(
        "watched_clusters",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("cluster_name", sa.Text, primary_key=True),
        _time("looked_at", null=True),
    )


def _watch_leases() -> None:
    op.create_table(
        "watch_leases",
        sa.Column("project_id", sa.Text, primary_key=True),
        _text("owner"),
        _time("until"),
    )
