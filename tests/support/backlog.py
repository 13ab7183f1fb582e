"""Many rows of downloads and replies at once, as copies of those of one download."""

from typing import Any

from sqlalchemy import Connection, Table, insert, select

from bot.atlas import JobRef
from bot.storage.tables import downloads, replies


def copy_download(db: Connection, ref: JobRef, number: int, **columns: Any) -> None:
    """Add downloads that differ from a stored one by their ids and these columns."""
    _copy(db, downloads, ref, number, columns)


def copy_reply(db: Connection, ref: JobRef, number: int, **columns: Any) -> None:
    """Add a reply to each of the copies of a download, which has one reply itself."""
    _copy(db, replies, ref, number, columns)


def _copy(db: Connection, table: Table, ref: JobRef, number: int, columns: dict[str, Any]) -> None:
    of = (table.c.project_id == ref.project_id, table.c.job_id == ref.job_id)
    row = db.execute(select(table).where(*of)).mappings().one()
    same = {name: value for name, value in row.items() if name != "id"} | columns
    db.execute(insert(table), [{**same, "job_id": f"{item:024x}"} for item in range(number)])
