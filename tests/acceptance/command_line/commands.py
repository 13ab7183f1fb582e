"""Runs commands in processes, and names the downloads of the example world."""

import json
from typing import Any

from tests.support.process import CommandResult, run_command

Environ = dict[str, str]

RUNNING = ("prod-eu", "65f0a1c2d3e4f5a6b7c80101")
LIVE = ("prod-eu", "65f0a1c2d3e4f5a6b7c80102")
AUTOMATED = ("prod-eu", "65f0a1c2d3e4f5a6b7c80103")
CANCELLED = ("prod-eu", "65f0a1c2d3e4f5a6b7c80105")
EXPIRED = ("prod-us", "65f0a1c2d3e4f5a6b7c80203")
FAILED = ("prod-us", "65f0a1c2d3e4f5a6b7c80204")
YES = ("--reason", "started by mistake", "--yes")
ALONE = (*YES, "--without-approval")
APPROVALS = {"BOT_APPROVALS": "1", "BOT_APPROVERS": "U0ADA00001"}


async def run(environ: Environ, *arguments: str) -> CommandResult:
    return await run_command(*arguments, **environ)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
