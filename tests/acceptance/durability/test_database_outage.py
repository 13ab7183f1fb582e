"""Outages of the database under a working bot: answers within 3 seconds, and no loss."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from bot.cancellation.errors import MaybeRecorded, NotRead, NotRecorded
from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.slack import Ack
from tests.acceptance.durability.environment import CHANNEL, CLUSTER, ProcessEnvironment, opened
from tests.acceptance.environment import OUTCOME_TIMEOUT
from tests.support.postgres import PostgresServer
from tests.support.timings import OUTAGE_TIMINGS

#: Seconds that Slack waits for an answer.
SLACK_WAITS = 3.0

#: Seconds for which the server is paused: longer than every lease, and than the pool's timeout.
PAUSE = 12.0

#: Messages while the database is unavailable: certainly not recorded, or uncertain.
NOT_RECORDED, MAYBE = str(NotRecorded()), str(MaybeRecorded())


@contextmanager
def paused(server: PostgresServer) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


@asynccontextmanager
async def crashed(server: PostgresServer) -> AsyncIterator[None]:
    await asyncio.to_thread(server.stop, signal.SIGQUIT)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


def is_reported(ack: Ack) -> bool:
    """Whether the dialog reports in time that it was not recorded, or that it may have been."""
    assert ack.ok, ack
    assert ack.seconds < SLACK_WAITS
    return ack.errors.get("reason") in {NOT_RECORDED, MAYBE}


async def shows(env: ProcessEnvironment, user: str, words: str, seconds: float = 20.0) -> None:
    """Wait until the person's dialog has the words."""

    def has_words() -> bool:
        view = env.slack.state.view_of(user)
        return bool(view) and words in env.slack.state.text_of(view or {})

    await env.slack.until(has_words, seconds)


async def submit_until_accepted(env: ProcessEnvironment, user: str, job: str) -> None:
    """Submit the open dialog again until it is taken, as a person would."""
    for _ in range(100):
        ack = await env.submit_dialog(user, job)
        if ack.ok and not ack.errors:
            return
        await asyncio.sleep(0.3)
    raise TimeoutError


async def test_paused_database_delays_no_answer_beyond_3_seconds_and_loses_nothing(
    postgres: PostgresServer, on_postgres: str
) -> None:
    async with opened(on_postgres, approvals=1, timings=OUTAGE_TIMINGS) as env:
        bot = await env.start()
        waiting = await env.request_new_job("rina")
        card = await env.wait_for_card(waiting)
        views = [(env.person(number), env.new_job_id()) for number in range(6)]
        for user, job in views:
            await env.open_dialog_of(user, job)
        running = await env.request_new_job("abe")
        env.atlas.faults.add(Fault(kind=Kind.DELAY, method="DELETE", path=running))
        await env.slack.people.clicks(
            "ada", await env.wait_for_card(running), "cancel_restore_approve"
        )
        await env.slack.until(lambda: '"atlas:cancel_sent"' in bot.log, 20)

        with paused(postgres):
            until = time.monotonic() + PAUSE
            command = await env.slack.people.types(
                "ada", CHANNEL, f"/cancel-restore {CLUSTER} {env.new_job_id()}"
            )
            acks = await asyncio.gather(*(env.submit_dialog(user, job) for user, job in views))
            click = await env.slack.people.clicks("ada", card, "cancel_restore_approve")
            alive, ready = await bot.status("/healthz"), await bot.status("/readyz")
            await shows(env, "ada", str(NotRead()))
            ephemerals = [
                env.slack.state.text_of(each) for each in env.slack.state.ephemerals("ada")
            ]
            await asyncio.sleep(until - time.monotonic())
            late = [await env.submit_dialog(user, job) for user, job in views[:2]]
        assert (command.ok, click.ok) == (True, True)
        assert max(command.seconds, click.seconds) < SLACK_WAITS
        assert all(map(is_reported, [*acks, *late]))
        assert (alive, ready) == (200, 503)
        assert any("nothing was done" in each or "not certain" in each for each in ephemerals)

        resumed = time.monotonic()
        await bot.ready(10)
        for user, job in views:
            await submit_until_accepted(env, user, job)
        for job in (waiting, *(job for _, job in views)):
            await approved(env, job)
        await env.wait_for_outcomes(resumed + 2 * OUTCOME_TIMEOUT - time.monotonic())
        await env.check_outcomes()
        assert await bot.stop() == 0, bot.log


async def approved(env: ProcessEnvironment, job: str) -> None:
    card = await env.wait_for_card(job)
    ack = await env.slack.people.clicks("ada", card, "cancel_restore_approve")
    assert ack.ok


async def test_restart_of_the_database_ends_each_request_once(
    postgres: PostgresServer, on_postgres: str
) -> None:
    async with opened(on_postgres) as env:
        bot = await env.start()
        requests = asyncio.gather(*(ask_repeatedly(env, env.person(n), 4) for n in range(6)))
        for _ in range(2):
            await asyncio.sleep(0.4)
            async with crashed(postgres):
                await asyncio.sleep(0.7)
        await requests

        await env.wait_for_outcomes()

        await env.check_outcomes()
        assert len(env.submitted) == 24
        assert bot.code is None


async def ask_repeatedly(env: ProcessEnvironment, user: str, times: int) -> None:
    """Make requests; a dialog that shows an error is retried with its own button."""
    for _ in range(times):
        job = env.new_job_id()
        await ask_until_accepted(env, user, job)
        await submit_until_accepted(env, user, job)


async def ask_until_accepted(env: ProcessEnvironment, user: str, job: str) -> None:
    for _ in range(20):
        try:
            await env.open_dialog_of(user, job, seconds=5)
        except TimeoutError:
            await env.slack.people.closes(user)
        else:
            return
    raise TimeoutError
