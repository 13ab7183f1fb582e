"""The program `cancel-restore`, which is also `python -m bot`."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from bot.cli import FAILED, INTERRUPTED
from bot.cli.main import app


class OutputError(OSError):
    """Standard output cannot be written to."""


def main() -> None:
    """Run the command line; errors of the operating system end in one sentence."""
    out = sys.stdout = open_stdout(sys.stdout)
    try:
        try:
            app()
        finally:
            out.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OutputError as error:
        discard_buffer(out)
        # A reader that closes the pipe, as `head` does, has read enough: this is no error.
        is_pipe = error.errno == errno.EPIPE
        sys.exit(FAILED if is_pipe else f"Standard output cannot be written to ({error.strerror}).")
    except OSError as error:
        sys.exit(f"The command failed ({error}).")


def open_stdout(stdout: TextIO | None) -> TextIO:
    """Escape characters that the output lacks; a closed output fails at the first write."""
    if stdout is None:
        return ClosedOutput()
    if isinstance(stdout, io.TextIOWrapper):
        return StandardOutput(
            stdout.buffer,
            encoding=stdout.encoding,
            errors="backslashreplace",
            line_buffering=stdout.line_buffering,
        )
    return stdout


class StandardOutput(io.TextIOWrapper):
    """Standard output whose errors can be told from those of sockets and files."""

    def write(self, text: str, /) -> int:
        with output_errors():
            return super().write(text)

    def flush(self) -> None:
        with output_errors():
            super().flush()


@contextmanager
def output_errors() -> Iterator[None]:
    """Raise errors of the operating system as `OutputError`."""
    try:
        yield
    except OSError as error:
        raise OutputError(error.errno, error.strerror) from error


class ClosedOutput(io.StringIO):
    """Standard output of a process that was started without one."""

    def write(self, _text: str, /) -> int:
        raise OutputError(None, "it is closed")


def discard_buffer(out: TextIO) -> None:
    """Send buffered text to the null device, else the interpreter tries to write it again."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


if __name__ == "__main__":
    main()
