"""The program `cancel-restore`, which is also `python -m bot`."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from bot.output import watched_output

if TYPE_CHECKING:
    from typer import Typer

#: structlog and httpx load them wherever they are installed, for boxes around tracebacks and for a
#: command line that nobody calls here: 60 ms of each start, and 5 MB. Only `audit` and `doctor`
#: need them, for their tables.
FOR_TABLES = ("rich", "pygments")


#: The exit code of a program that Ctrl-C ended, as a shell has it.
INTERRUPTED = 130


def main() -> None:
    """Load all of it, then run it."""
    with suppress(KeyboardInterrupt):
        app = loaded()
        with watched_output():
            app()
        return
    sys.exit(INTERRUPTED)


def loaded() -> Typer:
    """Load all of it, and return the program."""
    # What is loaded stays. To look for garbage in it meanwhile is an eighth of the start, and later
    # would stop the bot for 50 ms each time that Python looks through everything.
    gc.disable()
    for name in FOR_TABLES:
        sys.modules[name] = None  # type: ignore[assignment] # Python's way to say: not to be found
    from bot.cli.main import app  # noqa: PLC0415 - see above

    for name in FOR_TABLES:
        del sys.modules[name]
    gc.freeze()
    gc.enable()
    return app


if __name__ == "__main__":
    main()
