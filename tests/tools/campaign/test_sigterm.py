"""The end of a campaign by a signal."""

from __future__ import annotations

import signal
import subprocess
import sys

#: A program that gets SIGTERM twice, and takes a moment to end.
SLOW_TO_END = """
import asyncio
from contextlib import suppress
from tests.support.sigterm import exit_on_sigterm

async def work():
    try:
        print("begun", flush=True)
        await asyncio.sleep(30)
    finally:
        print("ending", flush=True)
        await asyncio.sleep(0.3)
        print("ended", flush=True)

exit_on_sigterm()
with suppress(KeyboardInterrupt):
    asyncio.run(work())
"""


def test_second_sigterm_does_not_interrupt_the_cleanup() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_TO_END], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout
        assert program.stdout.readline() == "begun\n"
        program.send_signal(signal.SIGTERM)
        assert program.stdout.readline() == "ending\n"
        program.send_signal(signal.SIGTERM)

        assert program.stdout.read() == "ended\n"

    assert program.returncode == 0
