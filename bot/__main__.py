"""The program `cancel-restore`, which is also `python -m bot`."""

import gc


def main() -> None:
    """Load all of it, then run it."""
    # What is loaded stays. To look for garbage in it meanwhile is an eighth of the start, and later
    # would stop the bot for 50 ms each time that Python looks through everything.
    gc.disable()
    from bot.cli import app  # noqa: PLC0415 - see above

    gc.freeze()
    gc.enable()
    app()


if __name__ == "__main__":
    main()
