"""The first version; `bot.storage.migrate.create_tables` creates its tables.

An upgrade begins at the version of existing tables, so this one is never run.
"""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Change nothing."""
