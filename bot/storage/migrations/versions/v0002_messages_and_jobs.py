"""Version 1.1: one row for each message and each job, one leader, and calls that replicas share.

What replicas of the version before use stays: the table `job_facts` and the columns of leases.
Edits that wait in rows of their own are adopted by the leader, as are those that an older replica
still adds.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NEW_JOB_COLUMNS = {
    "expected_at": sa.BigInteger,
    "live_since": sa.BigInteger,
    "until": sa.BigInteger,
    "link_used": sa.Boolean,
    "phase": sa.Text,
    "started_by": sa.Text,
    "was_running": sa.Boolean,
}
OLD_INDEXES = {
    "ended_requests": "requests",
    "announcements_by_time": "posts",
    "due_announcements": "posts",
    "due_posts_in_order": "posts",
    "observed_links": "job_facts",
}
#: The new indexes: table, columns, and of which rows.
INDEXES = {
    "requests_by_project": ("requests", ["project_id", "created_at"], None),
    "observed_links": ("watched_jobs", ["project_id", "live_since"], "live_since IS NOT NULL"),
    "announcements": ("posts", ["watched_job"], "watched_job IS NOT NULL"),
    "due_posts_in_order": (
        "posts",
        ["priority", "due_at", "id"],
        "(state = 'due' OR shown < wanted)",
    ),
    "sent_posts": ("posts", ["at"], "state <> 'due' AND kind NOT IN ('card', 'announcement')"),
}
SAME_CLUSTER = (
    "x.project_id = watched_jobs.project_id AND x.cluster_name = watched_jobs.cluster_name"
)
SAME_JOB = f"{SAME_CLUSTER} AND x.job_id = watched_jobs.job_id"
MERGE = f"""
UPDATE watched_jobs SET
    expected_at = (SELECT x.expected_at FROM job_facts x WHERE {SAME_JOB}),
    live_since = (SELECT x.live_since FROM job_facts x WHERE {SAME_JOB}),
    until = (SELECT x.until FROM job_facts x WHERE {SAME_JOB}),
    phase = (SELECT x.phase FROM job_facts x WHERE {SAME_JOB}),
    started_by = (SELECT x.started_by FROM job_facts x WHERE {SAME_JOB}),
    was_running = EXISTS (SELECT 1 FROM watched_clusters x
        WHERE {SAME_CLUSTER} AND x.first_read_at = watched_jobs.first_seen_at)
"""  # noqa: S608 - constants
#: Jobs that the watch has not listed.
ADD = f"""
INSERT INTO watched_jobs (
    project_id, cluster_name, job_id, state, shown, first_seen_at, changed_at, version,
    expected_at, live_since, until, phase, started_by)
SELECT
    project_id, cluster_name, job_id,
    coalesce(ended, CASE WHEN live_since IS NULL THEN 'in_progress' ELSE 'link_live' END),
    '', 0, 0, 0, expected_at, live_since, until, phase, started_by
FROM job_facts x WHERE NOT EXISTS (SELECT 1 FROM watched_jobs WHERE {SAME_JOB})
"""  # noqa: S608 - as above
#: A job's announcement was a row for each change: the first is the message.
DELETE_CHANGES = """
    DELETE FROM posts WHERE kind = 'announcement' AND state = 'sent' AND EXISTS (
        SELECT 1 FROM posts AS first WHERE first.watched_job = posts.watched_job
        AND coalesce(first.recipient, '') = coalesce(posts.recipient, '')
        AND first.state = 'sent' AND first.id < posts.id
    )
"""


def upgrade() -> None:
    _create_tables()
    for name, kind in NEW_JOB_COLUMNS.items():
        op.add_column("watched_jobs", sa.Column(name, kind()))
    for name in ("wanted", "shown"):
        count = sa.Column(name, sa.Integer(), server_default="0", nullable=False)
        op.add_column("posts", count)
    for name, table in OLD_INDEXES.items():
        op.drop_index(name, table)
    for name, (table, columns, condition) in INDEXES.items():
        where = sa.text(condition) if condition else None
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
    for statement in (MERGE, ADD, DELETE_CHANGES):
        op.execute(statement)


def _create_tables() -> None:
    op.create_table(
        "slack_connections",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("connections", sa.Integer, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "slack_calls",
        sa.Column("method", sa.Text, primary_key=True),
        sa.Column("at", sa.Text, nullable=False),
    )
