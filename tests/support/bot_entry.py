"""Runs the bot and its commands in processes that a server forks: the imports take a second."""

import faulthandler
import gc
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import bot.__main__ as program

#: Modules that the program imports, partly only when it runs.
MODULES = ["bot.__main__", "bot.app", "bot.doctor.run", "alembic.command", "psycopg", "httpcore"]
MODULES += ["anyio._backends._asyncio"]

_context = get_context("forkserver")
_context.set_forkserver_preload(MODULES)


def fork_command(
    arguments: Sequence[str], environ: Mapping[str, str], folder: Path, out: int, err: int
) -> BaseProcess:
    """Start a command in a folder; its output goes to the open files `out` and `err`."""
    values = (arguments, dict(environ), folder, _path_of(out), _path_of(err))
    process = _context.Process(target=_run_command, args=values, daemon=True)
    process.start()
    return process


def _path_of(file: int) -> Path:
    """Return a path by which another process opens an open file."""
    return Path(f"/proc/{os.getpid()}/fd/{file}")


def _run_command(
    arguments: Sequence[str], environ: Mapping[str, str], folder: Path, out: Path, err: Path
) -> None:
    _enter(environ, folder, out, err)
    faulthandler.enable()  # SIGABRT shows where a command hangs
    sys.argv = ["cancel-restore", *arguments]
    program.main()


def _enter(environ: Mapping[str, str], folder: Path, out: Path, err: Path) -> None:
    """Take over the variables, the folder and the outputs."""
    gc.freeze()  # or each collection goes through all imports: 0.15 s in the first three
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream.fileno())
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    warnings.simplefilter("error", ResourceWarning)
