"""When the restores of a cluster into other projects were first read; counts of disowned jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("watched_clusters", sa.Column("restores_read_at", sa.BigInteger))
    where = sa.text("answer = 'not_mine'")
    op.create_index(
        "disowned_jobs",
        "watched_jobs",
        ["project_id"],
        sqlite_where=where,
        postgresql_where=where,
    )
