"""Makes SIGTERM end a test program like Ctrl+C, so that it stops its children."""

import signal
from types import FrameType
from typing import NoReturn


def exit_on_sigterm() -> None:
    """Raise `KeyboardInterrupt` at the first SIGTERM; ignore further ones (`timeout` sends two).

    Raises:
        KeyboardInterrupt: when the signal comes.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
