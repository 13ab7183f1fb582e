"""When each job was last read: not known of those that earlier versions read."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("watched_jobs", sa.Column("read_at", sa.BigInteger))
