"""The calls of limited methods of Slack within the last minute, which all replicas count."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "slack_calls",
        sa.Column("method", sa.Text, primary_key=True),
        sa.Column("at", sa.Text, nullable=False),
    )
