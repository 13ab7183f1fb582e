"""Runs the bot for a campaign: it prints its stacks on demand, and may call Slack more often.

A campaign has more downloads in a minute than a real channel in a week: with Slack's documented
rates, people would wait for buttons most of the time. It is started by its path, so it imports
nothing of the tests.
"""

import asyncio
import faulthandler
import signal
import sys
import traceback

from bot.__main__ import main
from bot.slack import pace

#: Calls at once, and seconds for each further one; all count as made after a fault.
LIMITS = {"chat.postMessage": (500, 0.1), "chat.update": (500, 0.1)}


def print_tasks(*_: object) -> None:
    """Print the stack of each task of the running loop."""
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:
        sys.stderr.write("no loop runs\n")
        return
    for task in tasks:
        sys.stderr.write(f"{task!r}\n")
        for frame in task.get_stack():
            traceback.print_stack(frame, limit=1)


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR2, all_threads=True)  # also where no Python code runs
    signal.signal(signal.SIGUSR1, print_tasks)
    pace._LIMITS = LIMITS
    main()
