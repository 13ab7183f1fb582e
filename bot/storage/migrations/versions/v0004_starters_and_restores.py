"""Answers of starters, first reads of restores, counts of disowned jobs, complete lists.

A project that earlier versions watched had a complete list of its clusters: its row without a name.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("watched_jobs", sa.Column("asked", sa.Text))
    op.add_column("watched_jobs", sa.Column("answer", sa.Text))
    op.add_column("watched_clusters", sa.Column("restores_read_at", sa.BigInteger))
    where = sa.text("answer = 'not_mine'")
    op.create_index(
        "disowned_jobs",
        "watched_jobs",
        ["project_id"],
        sqlite_where=where,
        postgresql_where=where,
    )
    clusters = sa.table("watched_clusters", sa.column("project_id"), sa.column("cluster_name"))
    columns = [clusters.c.project_id, clusters.c.cluster_name]
    projects = sa.select(clusters.c.project_id, sa.literal("")).distinct()
    op.execute(clusters.insert().from_select(columns, projects))
