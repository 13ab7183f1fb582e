"""The tables and their mapping to values. Ids are text, times are milliseconds of Unix time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Dialect,
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
from sqlalchemy.event import listens_for

from bot.atlas import JobRef
from bot.cancellation.lifecycle import (
    ASKED_TEXTS,
    JOB_FIELDS,
    Approval,
    Ask,
    Card,
    DeleteAttempts,
    JobFingerprint,
    Outcome,
    Request,
    State,
)
from bot.storage.database import LONG_PAST, MILLISECONDS, milliseconds, read_value, same_values

NO_JOB = JobRef("0" * 24, "unreadable", "0" * 24)  #: where ids cannot be read; no project has it


class Instant(TypeDecorator[datetime]):
    """An aware datetime, stored as whole milliseconds of Unix time."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone cannot be stored")
        return milliseconds(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401, ARG002 - SQLAlchemy's signature
        try:
            return None if value is None else datetime.fromtimestamp(value / MILLISECONDS, UTC)
        except (TypeError, ValueError, OverflowError, OSError):  # another program wrote it
            return LONG_PAST


#: SQLite generates values only for a plain INTEGER primary key.
SerialNumber = BigInteger().with_variant(Integer, "sqlite")


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index of the rows for which `where` holds."""
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


OPEN = "state IN ('" + "', '".join(state for state in State if not state.ended) + "')"
BY_BOT = "requester = ''"
IS_UNPOSTED = "state = 'due'"
#: A message is due until it is posted, and again while it shows fewer changes than are wanted.
IS_DUE = "(state = 'due' OR shown < wanted)"
#: Messages that are not edited any more once their requests have ended and were reviewed.
IS_OVER = "state <> 'due' AND kind NOT IN ('card', 'announcement')"
NOTICE_PLANNED = "state = 'awaiting' AND next_notice_at IS NOT NULL"
UNREVIEWED = "acted_alone AND reviewed_by IS NULL"
JOB_IS_OPEN = "state IN ('in_progress', 'link_live')"
IS_DISOWNED = "answer = 'not_mine'"
JOB = ("project_id", "cluster_name", "job_id")

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
    Column("delete_count", Integer, nullable=False, server_default="0"),
    Column("delete_accepted", Boolean, nullable=False, server_default=text("false")),
    Column("delete_unknown", Boolean, nullable=False, server_default=text("false")),
    Column("outcome", Text, nullable=False, server_default="{}"),
    Column("card_channel", Text),
    Column("card_ts", Text),
    Column("moved_because", Text),
    Column("acted_alone", Boolean, nullable=False, server_default=text("false")),
    Column("reviewed_by", Text),
    Column("reviewed_at", Instant),
    Column("next_notice_at", Instant),  # when the approvers are notified next
    Column("grace_ends_at", Instant),  # until when the bot's own request can be kept
    Column("seen_at", Instant),  # of the edition before
    Column("event_count", Integer, nullable=False, server_default="0"),
    Index("requests_by_time", "created_at"),
    Index("requests_by_job", "job_id"),
    # At most one open request per job: the database decides between concurrent submissions.
    partial_index("one_open_request_per_job", *JOB, where=OPEN, unique=True),
    # The sweeper reads only open requests.
    partial_index("open_requests", "state", "expires_at", where=OPEN),
    partial_index("planned_notices", "next_notice_at", where=NOTICE_PLANNED),
    partial_index("unreviewed_requests", "created_at", where=UNREVIEWED),
    Index("requests_by_project", "project_id", "created_at"),
    partial_index("requests_of_the_bot", "project_id", "created_at", where=BY_BOT),
)

approvals = Table(
    "approvals",
    metadata,
    Column("request", Text, ForeignKey("requests.id", ondelete="CASCADE"), primary_key=True),
    Column("user", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("voided_at", Instant),  # when the approver was found to have lost the right
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", SerialNumber, primary_key=True, autoincrement=True),
    Column("request", Text, nullable=False),  # no foreign key: events outlive the request
    Column("number", Integer, nullable=False),
    Column("at", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("actor", Text),
    Column("team", Text),
    Column("detail", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("posted_at", Instant),  # when the audit webhook's receiver took it; not hashed
    UniqueConstraint("request", "number", name="one_event_per_number"),
    Index("audit_events_by_time", "at"),
    partial_index("unposted_events", "id", where="posted_at IS NULL"),
)

# One row. Events up to `starts_after` were recorded before a webhook was configured.
audit_webhook = Table(
    "audit_webhook",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("starts_after", BigInteger, nullable=False),
    Column("lease_owner", Text, nullable=False),
    Column("lease_until", Instant, nullable=False),
)

# One row, whose lock puts the events of all replicas in one order.
chain_head = Table(
    "chain_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("reference", Text, nullable=False),  # of the last event
)


@listens_for(chain_head, "after_create")
def _insert_chain_head(table: Table, connection: Connection, **_: object) -> None:
    connection.execute(table.insert().values(id=1, reference=""))


# Restore jobs; the name is that of earlier versions. Those that the watch has not listed have no
# `shown`. The last columns are NULL where a replica of the edition before inserted the row.
jobs = Table(
    "watched_jobs",
    metadata,
    Column("id", SerialNumber, primary_key=True, autoincrement=True),
    Column("project_id", Text, nullable=False),
    Column("cluster_name", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("shown", Text, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Column("version", Integer, nullable=False),  # counts announced changes; 0: never announced
    Column("channel", Text),  # of the announcement
    Column("ts", Text),
    Column("quarantine", Text),  # of a new download: quarantined, or beyond the limit
    Column("expected_at", Instant),  # when the link is expected
    Column("live_since", Instant),
    Column("until", Instant),  # when the link expires
    # The link of `state` was used: the edition before knows no such state.
    Column("link_used", Boolean),
    Column("phase", Text),  # what the messages show
    Column("started_by", Text),
    Column("was_running", Boolean),  # the first read of the cluster listed it
    Column("asked", Text),  # the user who was asked whether it is theirs; empty: not yet
    Column("answer", Text),
    Column("read_at", Instant),  # when the last read began that had the job
    UniqueConstraint(*JOB, name="one_row_per_watched_job"),
    partial_index("open_watched_jobs", "project_id", where=JOB_IS_OPEN),
    partial_index("disowned_jobs", "project_id", where=IS_DISOWNED),
    partial_index("observed_links", "project_id", "live_since", where="live_since IS NOT NULL"),
)

posts = Table(
    "posts",
    metadata,
    Column("id", SerialNumber, primary_key=True, autoincrement=True),
    # A post is about a request or about a watched job.
    Column("request", Text, ForeignKey("requests.id", ondelete="CASCADE"), index=True),
    Column("watched_job", BigInteger, ForeignKey("watched_jobs.id", ondelete="CASCADE")),
    Column("priority", Integer, nullable=False, server_default="0"),  # lower ones are sent first
    Column("kind", Text, nullable=False),
    Column("recipient", Text),  # the user who gets a direct message
    Column("edits", BigInteger),  # of the edition before, which has a row for each edit
    Column("event", Text),
    Column("actor", Text),
    Column("at", Instant, nullable=False),
    Column("detail", Text, nullable=False),
    Column("client_msg_id", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),  # see `PostState`
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("lease_owner", Text),
    Column("lease_until", Instant),
    Column("channel", Text),
    Column("ts", Text),
    Column("error", Text),
    # The changes that the message is to show, and those that it shows.
    Column("wanted", Integer, nullable=False, server_default="0"),
    Column("shown", Integer, nullable=False, server_default="0"),
    CheckConstraint("(request IS NULL) <> (watched_job IS NULL)", name="one_subject_per_post"),
    partial_index("due_posts", "request", "id", where=IS_UNPOSTED),
    partial_index("announcements", "watched_job", where="watched_job IS NOT NULL"),
    partial_index("due_posts_in_order", "priority", "due_at", "id", where=IS_DUE),
    partial_index("sent_posts", "at", where=IS_OVER),
)

# The row of a project without a name: a list of its clusters was complete.
watched_clusters = Table(
    "watched_clusters",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("cluster_name", Text, primary_key=True),
    Column("first_read_at", Instant),  # NULL until a read of the watched cluster
    Column("restores_read_at", Instant),  # the same where restores are watched, else NULL
)

watch_leases = Table(
    "watch_leases",
    metadata,
    Column("project_id", Text, primary_key=True),
    Column("lease_owner", Text, nullable=False),
    Column("lease_until", Instant, nullable=False),
    Column("feed_gap_at", Instant),  # of earlier versions
    Column("all_read_at", Instant),  # by Atlas's clock each cluster was read then or later
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Instant, nullable=False),
)

slack_connections = Table(
    "slack_connections",
    metadata,
    Column("owner", Text, primary_key=True),  # a process
    Column("connections", Integer, nullable=False),  # of Socket Mode, that it holds
    Column("seen_at", Instant, nullable=False),
)

# The times of the last calls of a method that Slack limits, as a JSON list.
slack_calls = Table(
    "slack_calls",
    metadata,
    Column("method", Text, primary_key=True),
    Column("at", Text, nullable=False),
)

shown_from_json = TypeAdapter(JobFingerprint).validate_json
_outcome_from_json = TypeAdapter(Outcome).validate_json
#: Equals no job, so that nothing is sent for a request with it.
UNREADABLE = JobFingerprint(delivery_type="", snapshot_id="", snapshot_time=None, cancellable=False)


def ask_columns(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of what was asked, from its audit fields; an earlier version had fewer."""
    job = {column: detail[name] for column, name in JOB_FIELDS.items()}
    texts = {name: detail.get(name, "") for name in ASKED_TEXTS}
    return job | texts | {"shown": json.dumps(detail["shown"], sort_keys=True)}


#: The columns with the name and the value of an attribute of `Request`.
_SAME = {each.name for each in fields(Request)} & {*requests.c.keys()} - {"state", "outcome"}


def request_to_row(request: Request) -> dict[str, Any]:
    same = {name: getattr(request, name) for name in _SAME}
    return same | ask_columns(request.ask.to_detail()) | {"state": request.state}


def to_ref(row: Any, table: Table = requests) -> JobRef:  # noqa: ANN401 - a database row
    """Return the job that a row is about."""
    parse = partial(JobRef, row.project_id, row.cluster_name)
    return read_value(row, table.c.job_id, parse, NO_JOB)


def request_from_row(row: Any, given: Sequence[Any]) -> Request:  # noqa: ANN401 - a database row
    """Build a request from its row and the rows of the approvals that were given."""
    return Request(
        **same_values(row, requests, _SAME),
        state=read_value(row, requests.c.state, State, State.FAILED),
        ask=Ask(
            ref=to_ref(row),
            shown=read_value(row, requests.c.shown, shown_from_json, UNREADABLE),
            **{name: getattr(row, name) for name in ASKED_TEXTS},
        ),
        approvals=tuple(Approval(user=a.user, at=a.at) for a in given if not a.voided_at),
        voided=tuple(a.user for a in given if a.voided_at),
        sent=DeleteAttempts(
            count=row.delete_count, accepted=row.delete_accepted, unknown=row.delete_unknown
        ),
        outcome=read_value(row, requests.c.outcome, _outcome_from_json, Outcome()),
        card=Card(channel=row.card_channel, ts=row.card_ts) if row.card_ts else None,
    )
