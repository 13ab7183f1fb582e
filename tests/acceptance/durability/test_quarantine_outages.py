"""Quarantine with killed replicas, and with outages of Slack or the database."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from bot.sandbox.atlas import PROJECT_ID, Fault, Kind
from bot.sandbox.slack import Fault as SlackFault
from tests.acceptance.durability.environment import ProcessEnvironment, opened
from tests.acceptance.durability.test_database_outage import crashed
from tests.acceptance.environment import OUTCOME_TIMEOUT, state_of
from tests.support.polling import wait_until
from tests.support.postgres import PostgresServer
from tests.support.process import BotProcess
from tests.support.timings import SHORT_PROCESS_TIMINGS

Json = dict[str, Any]

GRACE = 3.0

QUARANTINE = {
    "BOT_WATCH_CHANNEL": "C0OPS00001",
    "BOT_WATCH_INTERVAL": "1",
    "BOT_QUARANTINE": "enforce",
    "BOT_QUARANTINE_GRACE": f"{GRACE:g}",
    "BOT_APPROVERS": "U0ADA00001,U0ABE00001",
}

TIMINGS = replace(SHORT_PROCESS_TIMINGS, quarantine_interval=0.2, job_facts_interval=0.5)

SLACK_IS_AWAY = SlackFault(kind="status", status=503)


@asynccontextmanager
async def watching(url: str, replicas: int = 1) -> AsyncIterator[ProcessEnvironment]:
    """Open an environment whose bots have read the cluster in which downloads start."""
    async with opened(url, timings=TIMINGS, more=QUARANTINE) as env:
        bots = [env.spawn() for _ in range(replicas)]
        await asyncio.gather(*(bot.ready() for bot in bots))
        ops = env.slack.state.messages
        await wait_until(lambda: any("`prod-eu`" in each["text"] for each in ops("ops")))
        yield env


async def quarantined(env: ProcessEnvironment) -> tuple[str, Json]:
    """Start a download, and return it with its card once its grace time is counted."""
    job = env.new_job_id()
    env.submitted.append(job)
    card = await env.wait_for_card(job, 20)
    assert state_of(card) == "quarantined"
    return job, card


def deletes(env: ProcessEnvironment, job: str) -> int:
    return len(env.atlas.deletes(job))


def bot_that_logged(env: ProcessEnvironment, event: str) -> BotProcess:
    (found,) = [bot for bot in env.bots if bot.code is None and f'"event": "{event}"' in bot.log]
    return found


async def test_kill_in_the_grace_time_leads_to_one_delete_after_it(on_postgres: str) -> None:
    async with watching(on_postgres, replicas=2) as env:
        job, _ = await quarantined(env)
        shown_at = time.monotonic()
        await asyncio.sleep(GRACE / 2)
        bot_that_logged(env, "request:created").kill()

        await wait_until(lambda: deletes(env, job), GRACE + 10)

        assert time.monotonic() - shown_at >= GRACE - 0.3  # the card may be seen a moment late
        await env.wait_for_outcomes()
        await env.check_outcomes()
        assert deletes(env, job) == 1


@pytest.mark.parametrize(
    ("kind", "answered"), [(Kind.HANG, 1), (Kind.HANG_AFTER, 0)], ids=["before", "after"]
)
async def test_kill_at_the_effect_of_the_delete_leads_to_one_effect_and_one_outcome(
    on_postgres: str, kind: Kind, answered: int
) -> None:
    async with watching(on_postgres, replicas=2) as env:
        env.atlas.faults.add(Fault(kind=kind, method="DELETE"))
        job, _ = await quarantined(env)
        await wait_until(lambda: not env.atlas.faults.active, GRACE + 10)
        bot_that_logged(env, "atlas:cancel_sent").kill()
        killed_at = time.monotonic()

        await env.wait_for_outcomes(killed_at + OUTCOME_TIMEOUT - time.monotonic())

        await env.check_outcomes()
        assert deletes(env, job) == answered  # the one that hangs has no answer, and is not listed
        cluster = env.atlas.world.projects[PROJECT_ID].clusters["prod-eu"]
        assert cluster.jobs[job].cancelled


async def test_download_whose_card_slack_did_not_take_is_not_cancelled(on_postgres: str) -> None:
    async with watching(on_postgres) as env:
        env.slack.faults.add("chat.postMessage", SLACK_IS_AWAY, times=10_000)
        job = env.new_job_id()
        env.submitted.append(job)
        await wait_until(lambda: '"request:created"' in env.bot.log)
        await asyncio.sleep(GRACE + 2)
        assert env.cards(job) == []
        assert deletes(env, job) == 0

        env.slack.faults.clear()
        await env.wait_for_card(job, 20)
        shown_at = time.monotonic()
        await wait_until(lambda: deletes(env, job), GRACE + 10)

        assert time.monotonic() - shown_at >= GRACE - 0.3
        await env.wait_for_outcomes()
        await env.check_outcomes()
        assert deletes(env, job) == 1


async def test_grace_time_starts_again_when_the_database_was_unavailable(
    postgres: PostgresServer, on_postgres: str
) -> None:
    async with watching(on_postgres) as env:
        job, _ = await quarantined(env)
        await asyncio.sleep(GRACE / 2)
        async with crashed(postgres):
            await asyncio.sleep(GRACE)
            assert deletes(env, job) == 0
            back_at = time.monotonic()

        await wait_until(lambda: deletes(env, job), GRACE + 15)

        assert time.monotonic() - back_at >= GRACE
        await env.wait_for_outcomes()
        await env.check_outcomes()
        assert deletes(env, job) == 1
