"""Makes SIGTERM end a test program like Ctrl+C, so that it stops its children."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType


def end_in_order() -> None:
    """Raise `KeyboardInterrupt` at the first SIGTERM; ignore further ones (`timeout` sends two).

    Raises:
        KeyboardInterrupt: when the signal comes.
    """
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
