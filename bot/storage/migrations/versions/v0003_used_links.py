"""A job whose download link was used is open, so the index of open jobs has it, too."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

OPEN = sa.text("state IN ('in_progress', 'link_live', 'link_used')")


def upgrade() -> None:
    op.drop_index("open_watched_jobs", "watched_jobs")
    op.create_index(
        "open_watched_jobs",
        "watched_jobs",
        ["project_id"],
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )
