"""The tables and their mapping to values. Ids are text, times are milliseconds of Unix time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.event import listens_for

from bot.atlas import JobRef
from bot.cancellation.download import Download, Fingerprint, LetRun
from bot.cancellation.request import OPEN, Approval, Attempts, Outcome, Request, State
from bot.cancellation.starter import Starters

MILLISECONDS = 1000


class Instant(TypeDecorator[datetime]):
    """An aware datetime, stored as whole milliseconds of Unix time."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone cannot be stored")
        return round(value.timestamp() * MILLISECONDS)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401, ARG002 - SQLAlchemy's signature
        return None if value is None else datetime.fromtimestamp(value / MILLISECONDS, UTC)


#: SQLite generates values only for a plain INTEGER primary key.
SerialNumber = BigInteger().with_variant(Integer, "sqlite")


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index of the rows for which `where` holds."""
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


IS_OPEN = "state IN ('" + "', '".join(sorted(OPEN)) + "')"
#: Downloads that Atlas's last answer shows as going on.
GOES_ON = "NOT (cancelled OR failed OR expired OR is_gone) AND finished_at IS NULL"
NEEDS_DELIVERY = "channel IS NOT NULL AND shown_version < wanted_version"
IS_UNPOSTED = "posted_at IS NULL"

metadata = MetaData()

downloads = Table(
    "downloads",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("job_id", Text, primary_key=True),
    Column("cluster_name", Text, nullable=False),
    Column("shown", Text, nullable=False),
    Column("stored_at", Instant, nullable=False),
    Column("read_at", Instant, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("failed", Boolean, nullable=False),
    Column("expired", Boolean, nullable=False),
    Column("is_gone", Boolean, nullable=False),
    Column("finished_at", Instant),
    Column("expires_at", Instant),
    Column("has_link", Boolean, nullable=False),
    Column("link_seen_at", Instant),
    Column("starters", Text, nullable=False),
    Column("auto_cancel_at", Instant),
    Column("auto_cancelled_at", Instant),
    Column("let_run_at", Instant),
    Column("let_run_by", Text),
    Column("let_run_reason", Text),
    Column("channel", Text),  # of its message
    Column("ts", Text),
    # Counts the changes of the message, and those that Slack shows.
    Column("wanted_version", Integer, nullable=False, server_default="0"),
    Column("shown_version", Integer, nullable=False, server_default="0"),
    # When the oldest change came that Slack does not show.
    Column("changed_at", Instant, nullable=False),
    Column("posts", Integer, nullable=False, server_default="0"),  # how often it was posted again
    partial_index("running_downloads", "project_id", "job_id", where=GOES_ON),
    partial_index("undelivered_downloads", "changed_at", where=NEEDS_DELIVERY),
    Index("downloads_by_time", "stored_at"),
)

requests = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("project_id", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("cluster_name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("requester", Text),
    Column("team", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("shown", Text, nullable=False),
    Column("needed", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("asked_in", Text),
    Column("alone", Text),
    Column("is_automatic", Boolean, nullable=False),
    Column("reminded_at", Instant),
    Column("run_started_at", Instant),
    Column("delete_count", Integer, nullable=False),
    Column("delete_accepted_at", Instant),
    Column("delete_unknown", Boolean, nullable=False),
    Column("trouble", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    ForeignKeyConstraint(
        ["project_id", "job_id"],
        ["downloads.project_id", "downloads.job_id"],
        name="request_of_download",
    ),
    Index("requests_by_download", "project_id", "job_id", "created_at"),
    # At most one open request a download: the database decides between two submits.
    partial_index("one_open_request", "project_id", "job_id", where=IS_OPEN, unique=True),
    partial_index("open_requests", "state", "expires_at", where=IS_OPEN),
)

approvals = Table(
    "approvals",
    metadata,
    Column("request", Text, ForeignKey("requests.id"), primary_key=True),
    Column("user", Text, primary_key=True),
    Column("at", Instant, nullable=False),
)

replies = Table(
    "replies",
    metadata,
    Column("id", SerialNumber, primary_key=True),
    Column("project_id", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("request", Text),
    Column("actor", Text),
    Column("detail", Text, nullable=False),
    Column("users", Text, nullable=False),  # whom it mentions, as JSON lists
    Column("groups", Text, nullable=False),
    Column("is_broadcast", Boolean, nullable=False),
    Column("at", Instant, nullable=False),
    Column("posted_at", Instant),
    Column("error", Text),  # why Slack refuses it for good
    partial_index("unposted_replies", "project_id", "job_id", "id", where=IS_UNPOSTED),
    Index("replies_by_download", "project_id", "job_id"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", SerialNumber, primary_key=True),
    Column("at", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("request", Text),
    Column("actor", Text),
    Column("team", Text),
    Column("body", Text, nullable=False),  # the canonical JSON of all its fields
    Column("hash", Text, nullable=False),
    Index("audit_events_by_time", "at"),
    Index("audit_events_by_request", "request", "id"),
)

# The first start of each project's watch.
watches = Table(
    "watches",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("started_at", Instant, nullable=False),
)

# One row: its holder is the active process. Its lock puts all writes in one order.
lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("number", BigInteger, nullable=False),  # raised by each take-over
    Column("expires_at", Instant, nullable=False),
)


@listens_for(lease, "after_create")
def _insert_lease(table: Table, connection: Connection, **_: object) -> None:
    never = datetime.fromtimestamp(0, UTC)
    connection.execute(table.insert().values(holder="", number=0, expires_at=never))


_fingerprint_from_json = TypeAdapter(Fingerprint).validate_json
_starters = TypeAdapter(Starters)
_outcome = TypeAdapter(Outcome)


def starters_to_json(starters: Starters) -> str:
    return _starters.dump_json(starters).decode()


def outcome_to_json(outcome: Outcome) -> str:
    return _outcome.dump_json(outcome).decode()


def fingerprint_to_json(shown: Fingerprint) -> str:
    return json.dumps(shown.to_json())


#: The columns of a download with the name and the value of an attribute.
_SAME_OF_DOWNLOAD = (
    "stored_at",
    "read_at",
    "cancelled",
    "failed",
    "expired",
    "is_gone",
    "finished_at",
    "expires_at",
    "has_link",
    "link_seen_at",
    "auto_cancel_at",
    "auto_cancelled_at",
    "channel",
    "ts",
)


def download_to_row(download: Download) -> dict[str, Any]:
    """Return the columns of a download, without those of its key and its message's versions."""
    decision = download.let_run
    return {
        **{name: getattr(download, name) for name in _SAME_OF_DOWNLOAD},
        "cluster_name": download.ref.cluster_name,
        "shown": fingerprint_to_json(download.shown),
        "starters": starters_to_json(download.starters),
        "let_run_at": decision and decision.at,
        "let_run_by": decision and decision.by,
        "let_run_reason": decision and decision.reason,
    }


def download_from_row(row: Any) -> Download:  # noqa: ANN401 - a database row
    decision = None
    if row.let_run_at is not None:
        decision = LetRun(by=row.let_run_by, at=row.let_run_at, reason=row.let_run_reason)
    return Download(
        **{name: getattr(row, name) for name in _SAME_OF_DOWNLOAD},
        ref=JobRef(row.project_id, row.cluster_name, row.job_id),
        shown=_fingerprint_from_json(row.shown),
        starters=_starters.validate_json(row.starters),
        let_run=decision,
    )


#: The columns of a request with the name and the value of an attribute.
_SAME_OF_REQUEST = (
    "id",
    "key",
    "requester",
    "team",
    "reason",
    "needed",
    "created_at",
    "changed_at",
    "expires_at",
    "asked_in",
    "alone",
    "is_automatic",
    "reminded_at",
    "run_started_at",
    "trouble",
)


def attempts_to_row(attempts: Attempts) -> dict[str, Any]:
    return {
        "delete_count": attempts.count,
        "delete_accepted_at": attempts.accepted_at,
        "delete_unknown": attempts.is_unknown,
    }


def request_to_row(request: Request) -> dict[str, Any]:
    return {
        **{name: getattr(request, name) for name in _SAME_OF_REQUEST},
        **attempts_to_row(request.attempts),
        "project_id": request.ref.project_id,
        "job_id": request.ref.job_id,
        "cluster_name": request.ref.cluster_name,
        "state": str(request.state),
        "shown": fingerprint_to_json(request.shown),
        "outcome": outcome_to_json(request.outcome),
    }


def request_from_row(row: Any, given: Sequence[Any]) -> Request:  # noqa: ANN401 - database rows
    """Build a request from its row and the rows of its approvals, oldest first."""
    return Request(
        **{name: getattr(row, name) for name in _SAME_OF_REQUEST},
        ref=JobRef(row.project_id, row.cluster_name, row.job_id),
        state=State(row.state),
        shown=_fingerprint_from_json(row.shown),
        approvals=tuple(Approval(user=item.user, at=item.at) for item in given),
        attempts=Attempts(
            count=row.delete_count,
            accepted_at=row.delete_accepted_at,
            is_unknown=row.delete_unknown,
        ),
        outcome=_outcome.validate_json(row.outcome),
    )


def outcome_facts(outcome: Outcome) -> Mapping[str, Any]:
    """Return what is set in an outcome, as JSON values for its event."""
    return {name: value for name, value in asdict(outcome).items() if value}
