"""Runs `serve` with other timings in a process that a server forks: the bot's imports take 1 s."""

import os
import sys
import warnings
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from bot.cli.main import run_bot
from bot.timings import Timings

#: Modules that a bot imports, partly only when it runs.
BOT_MODULES = ["bot.cli.main", "bot.app", "alembic.command", "asyncpg", "httpcore"]
BOT_MODULES += ["anyio._backends._asyncio"]

_context = get_context("forkserver")
_context.set_forkserver_preload(BOT_MODULES)


def fork_bot(timings: Timings, environ: Mapping[str, str], folder: Path, log: int) -> BaseProcess:
    """Start a bot in a folder; its output goes to the open file `log`."""
    path = Path(f"/proc/{os.getpid()}/fd/{log}")
    process = _context.Process(
        target=_run, args=(timings, dict(environ), folder, path), daemon=True
    )
    process.start()
    return process


def _run(timings: Timings, environ: Mapping[str, str], folder: Path, log: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    warnings.simplefilter("error", ResourceWarning)
    run_bot(timings)
