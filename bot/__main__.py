"""The program `cancel-restore`, which is also `python -m bot`."""

import gc
import sys

#: structlog and httpx load them wherever they are installed, for boxes around tracebacks and for a
#: command line that nobody calls here: 60 ms of each start, and 5 MB. Only `audit` and `doctor`
#: need them, for their tables.
FOR_TABLES = ("rich", "pygments")


def main() -> None:
    """Load all of it, then run it."""
    # What is loaded stays. To look for garbage in it meanwhile is an eighth of the start, and later
    # would stop the bot for 50 ms each time that Python looks through everything.
    gc.disable()
    for name in FOR_TABLES:
        sys.modules[name] = None  # type: ignore[assignment] # Python's way to say: not to be found
    from bot.cli import app  # noqa: PLC0415 - see above

    for name in FOR_TABLES:
        del sys.modules[name]
    gc.freeze()
    gc.enable()
    app()


if __name__ == "__main__":
    main()
