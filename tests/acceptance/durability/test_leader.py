"""Two bots on one PostgreSQL: one leads, and the limits hold over both together."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp

from bot.sandbox.atlas import PROJECT_ID
from bot.startup_checks import OTHER_FILE
from bot.timings import Timings
from tests.acceptance.durability.concurrency import run_concurrently
from tests.acceptance.durability.environment import ProcessEnvironment, opened
from tests.support.polling import wait_until
from tests.support.postgres import PostgresServer
from tests.support.process import BotProcess
from tests.support.timings import DATABASE_TIMEOUT, SHORT_PROCESS_TIMINGS

#: The real lease, and the seconds within which another replica must lead.
TIMINGS = replace(
    SHORT_PROCESS_TIMINGS,
    leader_lease=Timings.leader_lease,
    leader_interval=Timings.leader_interval,
)
TAKEOVER = 15.0

WATCH = {"BOT_WATCH_CHANNEL": "C0OPS00001", "BOT_WATCH_INTERVAL": "2", "BOT_EVENTS_INTERVAL": "2"}


@asynccontextmanager
async def two_bots(url: str) -> AsyncIterator[ProcessEnvironment]:
    """Open an environment whose two bots have begun to watch."""
    async with opened(url, timings=TIMINGS, more=WATCH) as env:
        bots = [env.spawn(), env.spawn()]
        await asyncio.gather(*(bot.ready() for bot in bots))
        ops = env.slack.state.messages
        await wait_until(lambda: any("`prod-eu`" in each["text"] for each in ops("ops")))
        yield env


async def leads(bot: BotProcess) -> bool:
    async with aiohttp.ClientSession() as session, session.get(f"{bot.url}/metrics") as answer:
        found = re.search(r"^cancel_restore_leader (\S+)$", await answer.text(), re.MULTILINE)
        assert found
        return float(found[1]) == 1


async def leader_and_other(env: ProcessEnvironment) -> tuple[BotProcess, BotProcess]:
    first, second = env.bots
    states = await leads(first), await leads(second)
    assert sorted(states) == [False, True]
    return (first, second) if states[0] else (second, first)


def announcements(env: ProcessEnvironment, job: str) -> int:
    return sum(job in str(each["blocks"]) for each in env.slack.state.messages("ops"))


async def test_dead_or_stopped_leader_is_replaced_in_time(postgres: PostgresServer) -> None:
    async def scenario(how: signal.Signals) -> None:
        async with two_bots(await asyncio.to_thread(postgres.new_database)) as env:
            leader, other = await leader_and_other(env)
            os.kill(leader.pid, how)
            gone_at = time.monotonic()
            job = env.new_job_id()

            await wait_until(lambda: '"this replica leads"' in other.log, TAKEOVER)

            assert time.monotonic() - gone_at <= TAKEOVER
            assert await leads(other)
            # A process that was stopped in a transaction keeps its locks until that is timed out.
            await wait_until(lambda: announcements(env, job), 2 * DATABASE_TIMEOUT)
            if how is signal.SIGSTOP:
                os.kill(leader.pid, signal.SIGCONT)
                await wait_until(lambda: '"another replica leads"' in leader.log)
                assert not await leads(leader)
                assert await leads(other)
            another = env.new_job_id()
            await wait_until(lambda: announcements(env, another))
            assert (announcements(env, job), announcements(env, another)) == (1, 1)

    await run_concurrently({how.name: scenario(how) for how in (signal.SIGKILL, signal.SIGSTOP)})


async def test_replica_with_another_settings_file_says_so_and_the_leader_does_not(
    on_postgres: str, tmp_path: Path
) -> None:
    more: dict[str, str] = {"MONGODB_ATLAS_PROJECT_ID": ""}
    async with opened(on_postgres, timings=TIMINGS, more=more) as env:
        files = [tmp_path / name for name in ("one.toml", "two.toml")]
        for number, file in enumerate(files):
            rule = f"approval_ttl = {60 + number}"
            file.write_text(f'[[projects]]\nname = "shop"\nid = "{PROJECT_ID}"\n{rule}\n', "utf-8")
            more["BOT_PROJECTS_FILE"] = str(file)
            await env.start()
        leader, other = await leader_and_other(env)
        await wait_until(lambda: OTHER_FILE in other.log)
        files[env.bots.index(other)].write_text(files[env.bots.index(leader)].read_text(), "utf-8")
        await wait_until(lambda: "settings reloaded" in other.log)

        assert other.log.count(OTHER_FILE) == 1
        assert OTHER_FILE not in leader.log
