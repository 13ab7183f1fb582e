"""A migration that is cancelled leaves nothing open."""

import asyncio
import gc
import os
from contextlib import suppress
from pathlib import Path

from bot.storage.migrate import ensure_current


def open_files(folder: Path) -> list[str]:
    """Return which files of `folder` this process holds open."""
    held = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are all that is wanted
        with suppress(FileNotFoundError):
            held.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115 - may be no path
    return [name for name in held if name.startswith(str(folder))]


async def test_migration_cancelled_at_any_step_leaves_no_file_open(tmp_path: Path) -> None:
    """An unclosed connection also raises a warning, which is an error in tests."""
    for steps in range(40):
        migrating = asyncio.create_task(ensure_current(f"sqlite:///{tmp_path}/bot.db"))
        for _ in range(steps):
            await asyncio.sleep(0)
        migrating.cancel()
        await asyncio.gather(migrating, return_exceptions=True)
    # Threads may still be closing files.
    for _ in range(100):
        gc.collect()
        if not open_files(tmp_path):
            break
        await asyncio.sleep(0.02)

    assert open_files(tmp_path) == []
