"""Runs the schema's versions on the connection that `bot.storage.migrate` has opened."""

from alembic import context

from bot.storage.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
