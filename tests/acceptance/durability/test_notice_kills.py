"""Bots that are killed between a reminder and its record send no reminder twice."""

import asyncio
import json
from typing import Any

from bot.cancellation.events import Recorded
from bot.sandbox.slack.event_bus import ChangeEvent
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from tests.acceptance.durability.environment import ProcessEnvironment, opened
from tests.support.timings import DATABASE_TIMEOUT

Json = dict[str, Any]

ADA, ABE = "U0ADA00001", "U0ABE00001"
NOTICES = {"BOT_APPROVERS": f"{ADA},{ABE}", "BOT_REMIND_AFTER": "1"}

#: Seconds of a dead bot's claim of a post, and the tolerance for a busy machine.
CLAIM = 15.0
TOLERANCE = 30.0


async def test_kill_between_a_reminder_and_its_record_sends_no_reminder_twice(
    on_postgres: str,
) -> None:
    async with opened(on_postgres, approvals=1, more=NOTICES) as env:
        first, second = env.spawn(), env.spawn()
        await asyncio.gather(first.ready(), second.ready())
        sent: list[str] = []
        killed = asyncio.Event()

        def on_change(item: ChangeEvent) -> None:
            if message := direct_message(item, env):
                sent.append(message)
                if len(sent) > len(set(recipients(env))) and not killed.is_set():
                    killed.set()  # the first reminder, whose answer no bot gets
                    first.kill()
                    second.kill()

        env.slack.world.events.subscribe(on_change)
        job = await env.request_new_job("rina")
        await asyncio.wait_for(killed.wait(), 30)
        in_doubt = sent[-1]
        await env.start()

        await env.slack.until(lambda: sent.count(in_doubt) == 2, CLAIM + TOLERANCE)

        assert all(len(copies(env, user)) <= 2 for user in (ADA, ABE))
        events = await record(env)
        assert [event.event for event in events].count("request:reminded") == 1
        notified = [user for event in events for user in json.loads(event.detail).get("people", ())]
        assert sorted(notified) == sorted([ADA, ABE] * 2)
        await env.slack.people.clicks("ada", env.cards(job)[0], "cancel_restore_approve")
        await env.wait_for_outcomes()
        await env.check_outcomes()


def recipients(env: ProcessEnvironment) -> list[str]:
    return [env.slack.state.dm(user) for user in (ADA, ABE)]


def direct_message(item: ChangeEvent, env: ProcessEnvironment) -> str:
    """Return the id of a message that is posted to an approver, or an empty text."""
    if item.kind != "call" or item.data["method"] != "chat.postMessage":
        return ""
    arguments = item.data["args"]
    is_direct = arguments.get("channel") in {ADA, ABE, *recipients(env)}
    return str(arguments["client_msg_id"]) if is_direct else ""


def copies(env: ProcessEnvironment, user: str) -> list[Json]:
    return env.slack.state.messages(env.slack.state.dm(user))


async def record(env: ProcessEnvironment) -> list[Recorded]:
    database = Database(env.database_url, timeout=DATABASE_TIMEOUT)
    try:
        return [event async for event in AuditLog(database).events()]
    finally:
        await database.close()
