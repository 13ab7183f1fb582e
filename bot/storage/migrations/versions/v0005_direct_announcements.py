"""Announcements to persons, which are found by their job."""

from alembic import op
from sqlalchemy import text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    direct = text("watched_job IS NOT NULL AND recipient IS NOT NULL")
    op.create_index(
        "direct_announcements",
        "posts",
        ["watched_job"],
        sqlite_where=direct,
        postgresql_where=direct,
    )
