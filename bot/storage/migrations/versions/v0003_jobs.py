"""One table of restore jobs. `job_facts` stays as it was, for replicas of the edition before."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

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


def upgrade() -> None:
    for name in ("expected_at", "live_since", "until"):
        op.add_column("watched_jobs", sa.Column(name, sa.BigInteger()))
    op.add_column("watched_jobs", sa.Column("link_used", sa.Boolean()))
    for name in ("phase", "started_by"):
        op.add_column("watched_jobs", sa.Column(name, sa.Text()))
    op.add_column("watched_jobs", sa.Column("was_running", sa.Boolean()))
    op.execute(MERGE)
    op.execute(ADD)
    op.drop_index("observed_links", "job_facts")
    columns, condition = ["project_id", "live_since"], sa.text("live_since IS NOT NULL")
    op.create_index(
        "observed_links",
        "watched_jobs",
        columns,
        sqlite_where=condition,
        postgresql_where=condition,
    )
