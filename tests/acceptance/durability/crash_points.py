"""The steps of a request, each as a function that kills the bot there."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from bot.sandbox.atlas import Call, Fault, Kind
from bot.sandbox.slack import Fault as SlackFault
from bot.sandbox.slack.event_bus import ChangeEvent
from tests.acceptance.durability.environment import ProcessEnvironment
from tests.acceptance.environment import OUTCOME_TIMEOUT
from tests.support.polling import wait_until

#: Waits for the step of a job, and kills the bot.
CrashPoint = Callable[[ProcessEnvironment, str], Coroutine[Any, Any, None]]

POST, EDIT = "chat.postMessage", "chat.update"


def when_atlas_gets(method: str, kind: Kind) -> CrashPoint:
    """Kill the bot during a call that Atlas never answers."""

    async def crash_point(env: ProcessEnvironment, job: str) -> None:
        env.atlas.faults.add(Fault(kind=kind, method=method, path=job))
        await wait_until(lambda: not env.atlas.faults.active)
        env.bot.kill()

    return crash_point


def when_atlas_is_read_again(kind: Kind) -> CrashPoint:
    """Kill the bot in the read after the DELETE, while its answer is recorded, or soon after."""

    async def crash_point(env: ProcessEnvironment, job: str) -> None:
        await _atlas_call(env, job, "DELETE")
        env.atlas.faults.add(Fault(kind=kind, method="GET", path=job))
        await wait_until(lambda: not env.atlas.faults.active)
        env.bot.kill()

    return crash_point


def when_atlas_answers(method: str, nth: int = 1) -> CrashPoint:
    """Kill the bot after a call took effect, and before its answer is sent."""

    async def crash_point(env: ProcessEnvironment, job: str) -> None:
        for number in range(1, nth + 1):
            await _atlas_call(env, job, method, env.bot.kill if number == nth else _continue)

    return crash_point


async def _atlas_call(
    env: ProcessEnvironment, job: str, method: str, act: Callable[[], None] = lambda: None
) -> None:
    reached = asyncio.Event()

    def on_change(call: Call) -> None:
        if (
            call.method == method
            and job in call.path
            and not call.challenge
            and not reached.is_set()
        ):
            act()
            reached.set()

    unsubscribe = env.atlas.recorder.subscribe(on_change)
    await asyncio.wait_for(reached.wait(), 15)
    unsubscribe()


def after_slack_took(method: str, *, reply: bool = False) -> CrashPoint:
    """Kill the bot after Slack has executed a call and before it answers."""

    async def crash_point(env: ProcessEnvironment, _job: str) -> None:
        await _slack_call(env, method, reply=reply, act=env.bot.kill)

    return crash_point


def before_slack_takes(method: str, *, reply: bool = False) -> CrashPoint:
    """Kill the bot when its connection breaks, before Slack has done anything."""

    async def crash_point(env: ProcessEnvironment, _job: str) -> None:
        if reply:  # the card is posted before it, by the same method
            await _slack_call(env, POST, reply=False, act=_continue)
        env.slack.faults.add(method, SlackFault(kind="reset_before"))
        await _slack_call(env, method, reply=reply, act=env.bot.kill)

    return crash_point


def after_the_card_is_posted(then: CrashPoint) -> CrashPoint:
    """Keep Atlas from answering until the card is posted.

    A card that is still unposted when the request ends is posted as it ended, and never edited.
    """

    async def crash_point(env: ProcessEnvironment, job: str) -> None:
        busy = Fault(kind=Kind.STATUS, status=503, method="GET", path=job, times=None)
        env.atlas.faults.add(busy)
        await _slack_call(env, POST, reply=False, act=env.atlas.faults.clear)
        await then(env, job)

    return crash_point


async def _slack_call(
    env: ProcessEnvironment, method: str, *, reply: bool, act: Callable[[], None]
) -> None:
    reached = asyncio.Event()

    def on_change(item: ChangeEvent) -> None:
        if not reached.is_set() and _is_call(item, method, reply=reply):
            act()
            reached.set()

    unsubscribe = env.slack.world.events.subscribe(on_change)
    await asyncio.wait_for(reached.wait(), 15)
    unsubscribe()


def _is_call(item: ChangeEvent, method: str, *, reply: bool) -> bool:
    data: Mapping[str, Any] = item.data
    if item.kind != "call" or data["method"] != method:
        return False
    return bool(data["args"].get("thread_ts")) is reply


def _continue() -> None:
    """Do not kill the bot."""


#: Every step of a request without approvals, in the order of its life.
CRASH_POINTS: Mapping[str, CrashPoint] = {
    "the first read reaches Atlas": when_atlas_gets("GET", Kind.HANG),
    "the first read is answered": when_atlas_answers("GET"),
    "the DELETE reaches Atlas and has no effect yet": when_atlas_gets("DELETE", Kind.HANG),
    "the DELETE has its effect and no answer": when_atlas_gets("DELETE", Kind.HANG_AFTER),
    "the DELETE is answered": when_atlas_answers("DELETE"),
    "the read-back reaches Atlas": when_atlas_is_read_again(Kind.HANG),
    "the read-back is answered": when_atlas_answers("GET", nth=2),
    "the card is lost": before_slack_takes(POST),
    "the card is posted": after_slack_took(POST),
    "the outcome is lost": before_slack_takes(POST, reply=True),
    "the outcome is posted": after_slack_took(POST, reply=True),
    "the card's edit is lost": after_the_card_is_posted(before_slack_takes(EDIT)),
    "the card is edited": after_the_card_is_posted(after_slack_took(EDIT)),
}


async def kill_at(env: ProcessEnvironment, crash_point: CrashPoint) -> bool:
    """Submit a request, kill the bot at the step, and return whether the ack came before."""
    job = env.new_job_id()
    await env.open_dialog_of("rina", job)
    crashing = asyncio.create_task(crash_point(env, job))
    await asyncio.sleep(0)
    ack = await env.retry_dispatch(lambda: env.submit_dialog("rina", job))
    try:
        await asyncio.wait_for(crashing, 20)
    except TimeoutError:
        raise TimeoutError(f"its step never came: {ack} {env.describe()}") from None
    env.submitted = [job]
    return ack.ok


async def restart_and_wait_for_outcome(
    env: ProcessEnvironment, *, acknowledged: bool = True
) -> None:
    """Start the next bot, which ends the request within the bound."""
    env.atlas.faults.clear()
    env.slack.faults.clear()
    bot = await env.start()
    if not acknowledged:  # the person submits once more
        assert (await env.slack.people.redelivers()).ok
    await env.wait_for_outcomes(bot.started_at + OUTCOME_TIMEOUT - time.monotonic())
    await env.check_outcomes()
