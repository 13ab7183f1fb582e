"""The ledger's tables. Ids are text, times milliseconds of Unix time, alike in both databases.

Partial indexes stand in `indexes.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect

MILLISECONDS = 1000


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept as whole milliseconds of Unix time."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be kept")
        return round(value.timestamp() * MILLISECONDS)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401, ARG002 - SQLAlchemy's signature
        return None if value is None else datetime.fromtimestamp(value / MILLISECONDS, UTC)


#: SQLite counts rows by itself only in a plain INTEGER primary key.
Number = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("project_id", Text, nullable=False),
    Column("project_name", Text, nullable=False),
    Column("cluster_name", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("team", Text, nullable=False),
    Column("requester", Text, nullable=False),
    Column("asked_in", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("shown", Text, nullable=False),
    Column("approvals_needed", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("lease_owner", Text),
    Column("lease_until", Instant),
    Column("sent_count", Integer, nullable=False, server_default="0"),
    Column("sent_accepted", Boolean, nullable=False, server_default=text("false")),
    Column("sent_unknown", Boolean, nullable=False, server_default=text("false")),
    Column("outcome", Text, nullable=False, server_default="{}"),
    Column("card_channel", Text),
    Column("card_ts", Text),
    Column("moved_because", Text),
    Column("events", Integer, nullable=False, server_default="0"),
    Column("head", Text, nullable=False, server_default=""),
    Index("requests_by_time", "created_at"),
    Index("requests_by_job", "job_id"),
)

approvals = Table(
    "approvals",
    metadata,
    Column("request", Text, ForeignKey("requests.id", ondelete="CASCADE"), primary_key=True),
    Column("user", Text, primary_key=True),
    Column("at", Instant, nullable=False),
)

posts = Table(
    "posts",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column(
        "request", Text, ForeignKey("requests.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("kind", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("actor", Text),
    Column("at", Instant, nullable=False),
    Column("detail", Text, nullable=False),
    Column("client_msg_id", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),  # due, sent, dropped
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("claimed_by", Text),
    Column("claimed_until", Instant),
    Column("channel", Text),
    Column("ts", Text),
    Column("error", Text),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("request", Text, nullable=False),  # no foreign key: the record outlives the request
    Column("number", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("actor", Text),
    Column("team", Text),
    Column("detail", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("request", "number", name="one_event_a_number"),
    Index("audit_events_by_time", "at"),
)

sightings = Table(
    "sightings",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("project_id", Text, nullable=False),
    Column("cluster_name", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("shown", Text, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),  # 0: never to be announced
    Column("client_msg_id", Text, nullable=False, unique=True),
    Column("due_at", Instant),  # when Slack is to be told, or nothing
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("claimed_until", Instant),
    Column("channel", Text),
    Column("ts", Text),
    Column("error", Text),
    UniqueConstraint("project_id", "cluster_name", "job_id", name="one_sighting_a_job"),
)

watched_clusters = Table(
    "watched_clusters",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("cluster_name", Text, primary_key=True),
    Column("looked_at", Instant),  # nothing: not yet, and what is over by then is old news
)

watch_leases = Table(
    "watch_leases",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Instant, nullable=False),
)
