"""Standard output, as one that says in a sentence what it does not take."""

from __future__ import annotations

import io
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


class Unwritable(Exception):
    """Standard output does not take what is written to it; the text says why."""


class Output(io.TextIOWrapper):
    """Standard output; a sign that a terminal lacks is written as an escape."""

    def __init__(self, stream: TextIO) -> None:
        lines = stream.isatty()
        encoding = stream.encoding
        super().__init__(stream.buffer, encoding, "backslashreplace", line_buffering=lines)

    def write(self, text: str, /) -> int:
        with _told():
            return super().write(text)

    def flush(self) -> None:
        with _told():
            super().flush()


class Closed(io.TextIOBase):
    """Standard output that was closed before the program began."""

    encoding = "utf-8"

    def write(self, _text: str, /) -> int:
        raise Unwritable("Standard output is closed: say where to write.")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # whoever reads has enough, as `head` does: that is no news
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise Unwritable(f"Standard output cannot be written to ({why}).") from error


@contextmanager
def watched_output() -> Iterator[None]:
    """Have standard output watched, and end with its sentence and 1 where it takes no more."""
    output = sys.stdout = Output(sys.stdout) if sys.stdout else Closed()
    try:
        try:
            yield
        finally:
            output.flush()
    except Unwritable as error:
        _give_up(output)
        sys.exit(str(error))
    except BrokenPipeError:
        _give_up(output)
        sys.exit(1)


def _give_up(output: Output | Closed) -> None:
    """Lead what is still buffered to nowhere: the interpreter would write it at its end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
