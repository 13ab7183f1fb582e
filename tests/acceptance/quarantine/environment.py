"""A bot that quarantines downloads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.sandbox.atlas import Actor, RestoreJob
from tests.acceptance.actions import ADA, OPS, shows
from tests.acceptance.environment import BotEnvironment, open_environment
from tests.support.polling import wait_until
from tests.support.timings import SHORT_TIMINGS

Json = dict[str, Any]

KEEP = "cancel_restore_keep"
DANA = Actor.user("dana@shop.example")

QUARANTINE = {
    "BOT_WATCH_CHANNEL": OPS,
    "BOT_WATCH_INTERVAL": "1",
    "BOT_QUARANTINE": "enforce",
    "BOT_QUARANTINE_GRACE": "2",
    "BOT_APPROVERS": f"{ADA},U0ABE00001",
}


@asynccontextmanager
async def open_quarantine(folder: Path, **environ: str | None) -> AsyncIterator[BotEnvironment]:
    """Open an environment whose watch has read every cluster."""
    timings = replace(SHORT_TIMINGS, job_facts_interval=0.3)
    given = {**QUARANTINE, **environ}
    async with open_environment(folder, given, timings=timings) as env:
        # All jobs of the example world are announced as already running.
        await wait_until(lambda: len(env.slack.state.messages("ops")) == 7)
        yield env


async def quarantined(env: BotEnvironment, by: Actor = DANA) -> tuple[RestoreJob, Json]:
    """Start a download; return it, and its card once it says that it is quarantined."""
    job = env.start_job(by=by)
    return job, await shows(env, job.id, "quarantined")


def deletes(env: BotEnvironment, job: RestoreJob) -> int:
    return env.atlas_methods(job.id).count("DELETE")
