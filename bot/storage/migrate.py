"""Brings the ledger's schema up at the start: a new database's here, others' in another process.

A process of its own takes Alembic and its memory along when it ends, and can be ended while it
waits for another replica's turn.
"""

from __future__ import annotations

import asyncio
import os
import sys
from subprocess import PIPE
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from bot.storage import schema
from bot.storage.sqlite import WRITES, keep_private, open_executor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import URL, Connection

T = TypeVar("T")

#: Seconds for which a replica waits at its start while another brings the schema up. Nobody waits
#: in Slack for this: a table of a million rows may take its time.
TURN = 300

#: Seconds for which anything is waited for here, a lock or an answer; for longer, the other process
#: waits, which can be ended.
AT_ONCE = 1


class NotMigrated(OSError):
    """The other process could not bring the schema up; the text says why."""


async def ensure_current(database_url: str) -> None:
    """Bring the schema to the newest version where it is not.

    Raises:
        OSError: the database cannot be opened, or refuses the new tables.
        SchemaError: its tables are those of a newer program, or of another one.
    """
    if not await _brought_up_here(make_url(database_url)):
        await _apart(database_url)


async def is_current(database_url: str) -> bool:
    """Say whether the schema is of the newest version; raises what `ensure_current` raises."""
    return await _run(make_url(database_url), schema.is_current, writes=False)


async def _brought_up_here(url: URL) -> bool:
    """Look at the schema, give an empty database its tables, and say whether that is all."""
    try:
        return await _run(url, schema.is_current, writes=False, turn=AT_ONCE) or await _run(
            url, schema.create, writes=True, turn=AT_ONCE
        )
    except (SQLAlchemyError, OSError):
        return False  # the other process can wait, and says what is wrong


async def migrate(url: URL) -> None:
    """Bring the schema to the newest version, here; raises what `ensure_current` raises."""
    await _run(url, schema.upgrade, writes=True)


def cause_of(error: Exception) -> str:
    """Return in one line what the database itself says."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__


async def _run(url: URL, work: Callable[[Connection], T], *, writes: bool, turn: int = TURN) -> T:
    if url.get_backend_name() == "sqlite":
        keep_private(url)
    store = open_executor(url, turn, turn)
    try:
        return await store.run(work, {WRITES: writes})
    finally:
        await store.close()


async def _apart(database_url: str) -> None:
    program = (sys.executable, "-P", "-m", __spec__.name)
    process = await asyncio.create_subprocess_exec(
        *program, stdin=PIPE, stderr=PIPE, env=_surroundings()
    )
    try:
        # Not as an argument: everybody on a machine can read those.
        _, said = await process.communicate(database_url.encode())
    finally:
        if process.returncode is None:
            process.kill()  # what it has not committed, the database undoes
            await process.wait()
    if process.returncode:
        why = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise NotMigrated(why or f"what brings its tables up ended with {process.returncode}")


def _surroundings() -> Mapping[str, str]:
    """Return the environment; what can be imported here can be imported there."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def main() -> None:
    """Be that process: the address comes on standard input, a failure goes to standard error."""
    try:
        asyncio.run(migrate(make_url(sys.stdin.read())))
    except (SQLAlchemyError, OSError) as error:
        sys.exit(cause_of(error))


if __name__ == "__main__":
    main()
