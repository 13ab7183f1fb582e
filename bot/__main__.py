"""The program `cancel-restore`, which is also `python -m bot`."""

import io
import os
import sys
from contextlib import suppress
from typing import TextIO

from bot.cli import FAILED, INTERRUPTED
from bot.cli.main import app


def main() -> None:
    """Run the command line; an output that cannot be written ends in one sentence."""
    out = sys.stdout = open_stdout(sys.stdout)
    try:
        try:
            app()
        finally:
            out.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        discard_buffer(out)
        # A reader that closes the pipe, as `head` does, has read enough: this is no error.
        is_pipe = isinstance(error, BrokenPipeError)
        sys.exit(FAILED if is_pipe else f"Standard output cannot be written to ({error.strerror}).")


def open_stdout(stdout: TextIO | None) -> TextIO:
    """Escape characters that the output lacks; a closed output fails at the first write."""
    if stdout is None:
        return ClosedOutput()
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="backslashreplace")
    return stdout


class ClosedOutput(io.StringIO):
    """Standard output of a process that was started without one."""

    def write(self, _text: str, /) -> int:
        raise OSError(None, "it is closed")


def discard_buffer(out: TextIO) -> None:
    """Send buffered text to the null device, else the interpreter tries to write it again."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


if __name__ == "__main__":
    main()
