"""One row for each message of Slack, which counts the changes that it is to show and shows.

Edits that wait in rows of their own are adopted by the leader, as are those that an older replica
still adds.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

INDEXES = {
    "announcements": (["watched_job"], "watched_job IS NOT NULL"),
    "due_posts_in_order": (["priority", "due_at", "id"], "(state = 'due' OR shown < wanted)"),
    "sent_posts": (["at"], "state <> 'due' AND kind NOT IN ('card', 'announcement')"),
}
#: A job's announcement was a row for each change: the first is the message.
DELETE_CHANGES = """
    DELETE FROM posts WHERE kind = 'announcement' AND state = 'sent' AND EXISTS (
        SELECT 1 FROM posts AS first WHERE first.watched_job = posts.watched_job
        AND coalesce(first.recipient, '') = coalesce(posts.recipient, '')
        AND first.state = 'sent' AND first.id < posts.id
    )
"""


def upgrade() -> None:
    for name in ("wanted", "shown"):
        count = sa.Column(name, sa.Integer(), server_default="0", nullable=False)
        op.add_column("posts", count)
    for name in ("direct_announcements", "due_announcements", "due_posts_in_order", "sent_posts"):
        op.drop_index(name, "posts")
    for name, (columns, condition) in INDEXES.items():
        where = sa.text(condition)
        op.create_index(name, "posts", columns, sqlite_where=where, postgresql_where=where)
    op.execute(DELETE_CHANGES)
