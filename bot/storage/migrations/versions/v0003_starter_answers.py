"""Who was asked whether a download is theirs, and what they said."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("watched_jobs", sa.Column("asked", sa.Text))
    op.add_column("watched_jobs", sa.Column("answer", sa.Text))
