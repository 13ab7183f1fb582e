"""The bot's own process in the demo: `serve`, which ends when the demo ends, however that ends."""

from __future__ import annotations

import os
import signal
import sys
import threading

from bot.cli.main import app


def end_with_the_demo(pipe: int) -> None:
    """Wait until nobody holds the other end of `pipe` any more, then stop in good order."""
    while os.read(pipe, 1024):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    watch = threading.Thread(target=end_with_the_demo, args=(sys.stdin.fileno(),), daemon=True)
    watch.start()
    app(["serve"], prog_name="cancel-restore")
