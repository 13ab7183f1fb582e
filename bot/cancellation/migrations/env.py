"""Runs the schema's versions on the connection that the ledger has opened, in its transaction."""

from __future__ import annotations

from alembic import context

from bot.cancellation.indexes import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
