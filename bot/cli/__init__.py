"""The command line `cancel-restore`: exit codes, and how a command ends with one sentence."""

from typing import NoReturn

import typer

FAILED = 1
WRONG_USAGE = 2  # or wrong settings
WAITS_FOR_APPROVAL = 3
INTERRUPTED = 130  # by Ctrl-C, as shells report it


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Write `message` to standard error and end the command with `code`."""
    typer.echo(message, err=True)
    raise typer.Exit(code)
