"""The database: stores, queries, the unit of work, the schema, the audit log."""
