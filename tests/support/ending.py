"""How a program of ours ends that is told to: what it started ends first."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType


def end_in_order() -> None:
    """Take SIGTERM for Ctrl+C, once: a second one would break off the ending (`timeout` sends two).

    Raises:
        KeyboardInterrupt: when the signal comes.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
