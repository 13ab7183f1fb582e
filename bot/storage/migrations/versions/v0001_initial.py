"""The first schema: requests, approvals, posts, audit events and the watch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

SERIAL_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
OPEN = "state IN ('awaiting', 'approved', 'cancelling')"
ENDED = "state NOT IN ('awaiting', 'approved', 'cancelling')"
DUE = "state = 'due'"


def upgrade() -> None:
    """Create every table and index."""
    _requests()
    _approvals()
    _audit_events()
    _watched_jobs()
    _posts()
    _watched_clusters()
    _watch_leases()


def _text(name: str, *, null: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null, server_default=default)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.text("false"))


def _time(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null)


def _partial_index(
    name: str, table: str, columns: list[str], where: str, *, unique: bool = False
) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition
    )


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        _text("state"),
        _text("project_id"),
        _text("project_name"),
        _text("cluster_name"),
        _text("job_id"),
        _text("team"),
        _text("requester"),
        _text("asked_in"),
        _text("channel"),
        _text("reason"),
        _text("shown"),
        sa.Column("approvals_needed", sa.Integer, nullable=False),
        _time("created_at"),
        _time("changed_at"),
        _time("expires_at"),
        _text("lease_owner", null=True),
        _time("lease_until", null=True),
        _count("delete_count"),
        _flag("delete_accepted"),
        _flag("delete_unknown"),
        _text("outcome", default="{}"),
        _text("card_channel", null=True),
        _text("card_ts", null=True),
        _text("moved_because", null=True),
        _count("event_count"),
        _text("head_hash", default=""),
    )
    op.create_index("requests_by_time", "requests", ["created_at"])
    op.create_index("requests_by_job", "requests", ["job_id"])
    job = ["project_id", "cluster_name", "job_id"]
    _partial_index("one_open_request_per_job", "requests", job, OPEN, unique=True)
    _partial_index("open_requests", "requests", ["state", "expires_at"], OPEN)
    _partial_index("ended_requests", "requests", ["changed_at"], ENDED)


def _approvals() -> None:
    request = sa.ForeignKey("requests.id", ondelete="CASCADE")
    op.create_table(
        "approvals",
        sa.Column("request", sa.Text, request, primary_key=True),
        sa.Column("user", sa.Text, primary_key=True),
        _time("at"),
    )


def _audit_events() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", SERIAL_NUMBER, primary_key=True, autoincrement=True),
        _text("request"),
        sa.Column("number", sa.Integer, nullable=False),
        _text("at"),
        _text("event"),
        _text("actor", null=True),
        _text("team", null=True),
        _text("detail"),
        _text("previous"),
        _text("hash"),
        sa.UniqueConstraint("request", "number", name="one_event_per_number"),
    )
    op.create_index("audit_events_by_time", "audit_events", ["at"])


def _watched_jobs() -> None:
    op.create_table(
        "watched_jobs",
        sa.Column("id", SERIAL_NUMBER, primary_key=True, autoincrement=True),
        _text("project_id"),
        _text("cluster_name"),
        _text("job_id"),
        _text("state"),
        _text("shown"),
        _time("first_seen_at"),
        _time("changed_at"),
        sa.Column("version", sa.Integer, nullable=False),
        _text("channel", null=True),
        _text("ts", null=True),
        sa.UniqueConstraint("project_id", "cluster_name", "job_id", name="one_row_per_watched_job"),
    )
    still_open = "state IN ('in_progress', 'link_live')"
    _partial_index("open_watched_jobs", "watched_jobs", ["project_id"], still_open)


def _posts() -> None:
    request = sa.ForeignKey("requests.id", ondelete="CASCADE")
    watched_job = sa.ForeignKey("watched_jobs.id", ondelete="CASCADE")
    op.create_table(
        "posts",
        sa.Column("id", SERIAL_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("request", sa.Text, request),
        sa.Column("watched_job", sa.BigInteger, watched_job),
        _count("priority"),
        _text("kind"),
        _text("event", null=True),
        _text("actor", null=True),
        _time("at"),
        _text("detail"),
        sa.Column("client_msg_id", sa.Text, nullable=False, unique=True),
        _text("state"),
        _time("due_at"),
        _count("attempts"),
        _text("lease_owner", null=True),
        _time("lease_until", null=True),
        _text("channel", null=True),
        _text("ts", null=True),
        _text("error", null=True),
        sa.CheckConstraint(
            "(request IS NULL) <> (watched_job IS NULL)", name="one_subject_per_post"
        ),
    )
    op.create_index("ix_posts_request", "posts", ["request"])
    _partial_index("due_posts", "posts", ["request", "id"], DUE)
    _partial_index("due_announcements", "posts", ["watched_job", "id"], DUE)
    _partial_index("due_posts_in_order", "posts", ["priority", "id"], DUE)


def _watched_clusters() -> None:
    op.create_table(
        "watched_clusters",
        sa.Column("project_id", sa.Text, primary_key=True),
        sa.Column("cluster_name", sa.Text, primary_key=True),
        _time("first_read_at", null=True),
    )


def _watch_leases() -> None:
    op.create_table(
        "watch_leases",
        sa.Column("project_id", sa.Text, primary_key=True),
        _text("lease_owner"),
        _time("lease_until"),
    )
