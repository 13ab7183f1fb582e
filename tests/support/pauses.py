"""Holds a transaction open: in SQLite's thread, or in PostgreSQL."""

import time

from sqlalchemy import Connection, text


def pause(db: Connection, seconds: float) -> None:
    if db.dialect.name == "sqlite":
        time.sleep(seconds)
    else:
        db.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
