"""A project that earlier versions watched had a complete list of its clusters: its nameless row."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    clusters = sa.table("watched_clusters", sa.column("project_id"), sa.column("cluster_name"))
    columns = [clusters.c.project_id, clusters.c.cluster_name]
    has_row = sa.select(clusters.c.project_id).where(clusters.c.cluster_name == "")
    projects = sa.select(clusters.c.project_id, sa.literal("")).distinct()
    without = projects.where(clusters.c.project_id.not_in(has_row))
    op.execute(clusters.insert().from_select(columns, without))
