"""The bot's own process in the demo: `serve`, which stops when the demo's process ends."""

import os
import signal
import sys
import threading

from bot.cli.main import app


def stop_at_end_of(pipe: int) -> None:
    """Read `pipe` until its other end is closed, then send SIGTERM to this process."""
    while os.read(pipe, 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    watch = threading.Thread(target=stop_at_end_of, args=(sys.stdin.fileno(),), daemon=True)
    watch.start()
    app(["serve"], prog_name="cancel-restore")
