"""The program `cancel-restore`, which is also `python -m bot`."""

import errno
import gc
import io
import os
import sys
from typing import TextIO

# Imports leave no garbage: collections would take a tenth of the first second.
gc.disable()
try:
    from bot.cli.main import app
    from bot.cli.output import FAILED, INTERRUPTED, discard
except KeyboardInterrupt:  # the imports take most of the first second
    sys.exit(130)  # `INTERRUPTED` itself may not be imported yet
gc.freeze()
gc.enable()


def main() -> None:
    """Run the command line; errors of the operating system end in one sentence."""
    out = sys.stdout = open_stdout(sys.stdout)
    sys.stderr = open_stderr(sys.stderr)
    try:
        try:
            app()
        finally:
            out.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        sys.exit(status_of(error, out))


def open_stdout(stdout: TextIO | None) -> TextIO:
    """Escape characters that the output lacks; a closed output fails at the first write."""
    if stdout is None:
        # For reading. Like a standard stream it stays open until the process ends.
        return open(os.open(os.devnull, os.O_RDONLY), encoding="utf-8", closefd=False)
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="backslashreplace")
    return stdout


def open_stderr(stderr: TextIO | None) -> TextIO:
    """Drop what is written to a closed output: the work is done all the same."""
    if stderr is None:
        return open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8", closefd=False)
    return stderr


def status_of(error: OSError, out: TextIO) -> str | int:
    """Return the message about `error`, or only the exit code where no message is wanted."""
    if isinstance(error, io.UnsupportedOperation):
        return "Standard output cannot be written to (it is closed)."
    try:
        out.flush()  # an output that failed keeps its text, and fails again
    except OSError as failure:
        discard(out)  # else the interpreter tries to write the buffered text again
        # A reader that closes the pipe, as `head` does, has read enough: this is no error.
        is_pipe = failure.errno == errno.EPIPE
        return FAILED if is_pipe else f"Standard output cannot be written to ({failure.strerror})."
    return f"The command failed ({error})."


if __name__ == "__main__":
    main()
