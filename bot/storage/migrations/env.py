"""Runs the schema's versions on the connection that the ledger has opened, in its transaction."""

from __future__ import annotations

from alembic import context

from bot.storage.indexes import whole_schema

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=whole_schema(connection.dialect.name))
context.run_migrations()
