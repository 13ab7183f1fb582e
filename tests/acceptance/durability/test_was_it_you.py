"""The question to a starter outlives kills: between question and answer, and before the DELETE."""

import asyncio
import time
from typing import Any

from bot.sandbox.atlas import Actor, Fault, Kind
from tests.acceptance.durability.environment import ProcessEnvironment, opened
from tests.acceptance.environment import request_of
from tests.support.polling import wait_until

Json = dict[str, Any]

DISOWNED = 'downloads_disowned_total{project="shop-prod"} 1.0'
MINE, NOT_MINE = "cancel_restore_mine", "cancel_restore_not_mine"
QUARANTINE = {
    "BOT_WATCH_CHANNEL": "C0OPS00001",
    "BOT_WATCH_INTERVAL": "1",
    "BOT_EVENTS_INTERVAL": "1",
    "BOT_QUARANTINE": "enforce",
    "BOT_QUARANTINE_GRACE": "600",
    "BOT_APPROVERS": "U0ADA00001,U0ABE00001",
}


def questions(env: ProcessEnvironment) -> list[Json]:
    state = env.slack.state
    return [each for each in state.messages(state.dm("rina")) if NOT_MINE in str(each["blocks"])]


async def test_disowned_download_is_cancelled_once_over_two_kills(on_postgres: str) -> None:
    async with opened(on_postgres, more=QUARANTINE) as env:
        first = await env.start()
        await wait_until(lambda: len(env.slack.state.messages("ops")) == 7)
        job = env.start_job(by=Actor.user("Rina@Example.com"))
        await wait_until(lambda: bool(questions(env)))
        (question,) = questions(env)
        first.kill()
        second = await env.start()
        await env.slack.until(lambda: bool(env.slack.sockets.connections))
        env.atlas.faults.add(Fault(kind=Kind.DELAY, path=job.id, seconds=2.0))
        assert (await env.slack.people.clicks("rina", question, NOT_MINE)).ok
        second.kill()
        assert "DELETE" not in env.atlas_methods(job.id)
        await env.start()
        started = time.monotonic()

        await wait_until(lambda: env.has_outcome(job.id) and not questions(env))
        assert time.monotonic() - started < 12
        await env.slack.until(lambda: bool(env.slack.sockets.connections))
        assert (await env.slack.people.clicks("rina", question, MINE, stale=True)).ok
        (told,) = await env.wait_for_ephemerals("rina")
        assert "it was not you" in told
        assert env.atlas_methods(job.id).count("DELETE") == 1
        request = request_of(env.card(job.id) or {})
        await env.send_command("abe", f"keep {request} it is ours")
        (refused,) = await env.wait_for_ephemerals("abe")
        assert "@Rina, whose account started this download, answered “It was not me”" in refused
        async with asyncio.timeout(20):
            while DISOWNED not in (await env.get("/metrics"))[1]:  # a page sets no event
                pass
