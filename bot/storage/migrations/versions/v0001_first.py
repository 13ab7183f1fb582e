"""The first schema: requests, approvals, posts, audit events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
OPEN = sa.text("state IN ('awaiting', 'approved', 'cancelling')")
DUE = sa.text("state = 'due'")


def upgrade() -> None:
    """Create everything."""
    _requests()
    _approvals()
    _posts()
    _audit_events()


def _text(name: str, *, null: bool = False, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null, server_default=default)


def _time(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null)


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
        sa.Column("sent_count", sa.Integer, nullable=False, server_default="0"),
        sa.Column("sent_accepted", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("sent_unknown", sa.Boolean, nullable=False, server_default=sa.text("false")),
        _text("outcome", default="{}"),
        _text("card_channel", null=True),
        _text("card_ts", null=True),
        _text("moved_because", null=True),
        sa.Column("events", sa.Integer, nullable=False, server_default="0"),
        _text("head", default=""),
    )
    op.create_index(
        "one_open_request_a_job",
        "requests",
        ["project_id", "cluster_name", "job_id"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_index(
        "open_requests",
        "requests",
        ["state", "expires_at"],
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
    op.create_index("requests_by_time", "requests", ["created_at"])


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column(
            "request",
            sa.Text,
            sa.ForeignKey("requests.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("user", sa.Text, primary_key=True),
        _time("at"),
    )


def _posts() -> None:
    op.create_table(
        "posts",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        sa.Column(
            "request", sa.Text, sa.ForeignKey("requests.id", ondelete="CASCADE"), nullable=False
        ),
        _text("kind"),
        _text("event"),
        _text("actor", null=True),
        _time("at"),
        _text("detail"),
        sa.Column("client_msg_id", sa.Text, nullable=False, unique=True),
        _text("state"),
        _time("due_at"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        _text("claimed_by", null=True),
        _time("claimed_until", null=True),
        _text("channel", null=True),
        _text("ts", null=True),
        _text("error", null=True),
    )
    op.create_index("ix_posts_request", "posts", ["request"])
    op.create_index("due_posts", "posts", ["request", "id"], sqlite_where=DUE, postgresql_where=DUE)


def _audit_events() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", NUMBER, primary_key=True, autoincrement=True),
        _text("request"),
        sa.Column("number", sa.Integer, nullable=False),
        _text("at"),
        _text("event"),
        _text("actor", null=True),
        _text("team", null=True),
        _text("detail"),
        _text("previous"),
        _text("hash"),
        sa.UniqueConstraint("request", "number", name="one_event_a_number"),
    )
    op.create_index("audit_events_by_time", "audit_events", ["at"])
