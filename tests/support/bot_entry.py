"""Runs `serve` as a process with the `Timings` that its first argument has, as JSON."""

from __future__ import annotations

import json
import sys

from bot.cli.main import run_bot
from bot.timings import Timings

if __name__ == "__main__":
    run_bot(Timings(**json.loads(sys.argv[1])))
