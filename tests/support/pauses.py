"""Holds a transaction open: in SQLite's thread, or in PostgreSQL."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection


def pause(db: Connection, seconds: float) -> None:
    if db.dialect.name == "sqlite":
        time.sleep(seconds)
    else:
        db.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
