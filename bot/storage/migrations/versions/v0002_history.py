"""History by project, and the deletion of sent posts: requests are no longer pruned."""

from alembic import op
from sqlalchemy import text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Replace the indexes of pruning."""
    op.drop_index("ended_requests", "requests")
    op.drop_index("announcements_by_time", "posts")
    op.create_index("requests_by_project", "requests", ["project_id", "created_at"])
    sent = text("state <> 'due'")
    op.create_index("sent_posts", "posts", ["at"], sqlite_where=sent, postgresql_where=sent)
