"""SIGTERM: the bot ends within 10 seconds with exit code 0, and loses nothing acknowledged."""

import asyncio
from dataclasses import replace

import pytest

from bot.cancellation.errors import StoppedWaiting
from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.slack import Fault as SlackFault
from bot.slack import ids
from bot.timings import Timings
from tests.acceptance.durability.environment import Mode, opened
from tests.acceptance.environment import OUTCOME_TIMEOUT
from tests.support.polling import wait_until
from tests.support.postgres import PostgresServer
from tests.support.timings import OUTAGE_TIMINGS, SHORT_PROCESS_TIMINGS

TEN_SECONDS = 10.0

#: The time that runs and posts really have to end, which a busy machine needs.
REAL_STOP = replace(
    SHORT_PROCESS_TIMINGS,
    run_stop_timeout=Timings.run_stop_timeout,
    outbox_stop_timeout=Timings.outbox_stop_timeout,
    shutdown=Timings.shutdown,
)


@pytest.fixture(params=["socket", "http"])
def mode(request: pytest.FixtureRequest) -> Mode:
    kind: Mode = request.param
    return kind


async def test_shutdown_finishes_running_requests(mode: Mode, on_sqlite: str) -> None:
    async with opened(on_sqlite, mode=mode, timings=REAL_STOP) as env:
        bot = await env.start()
        env.atlas.faults.add(Fault(kind=Kind.DELAY, seconds=1.0, method="DELETE"))
        job = await env.request_new_job("rina")

        assert await bot.stop(TEN_SECONDS) == 0, bot.log

        assert env.has_outcome(job)
        await env.check_outcomes()


async def test_shutdown_ends_in_time_while_services_hang(mode: Mode, on_sqlite: str) -> None:
    """Dialogs and runs that wait for Atlas, posts that wait for Slack, all concurrently.

    With the real time limits in HTTP mode, where the shutdown takes longest.
    """
    timings = Timings() if mode == "http" else SHORT_PROCESS_TIMINGS
    async with opened(on_sqlite, mode=mode, timings=timings) as env:
        bot = await env.start()
        views = [(env.person(number), env.new_job_id()) for number in range(4)]
        for user, job in views:
            await env.open_dialog_of(user, job)
        env.atlas.faults.add(Fault(kind=Kind.HANG, times=None, on="any"))
        env.slack.faults.add("chat.postMessage", SlackFault(kind="delay", seconds=20), times=8)
        for user, job in views:
            assert (await env.submit_dialog(user, job)).ok
        await env.slack.people.types("rina", "ops", f"/cancel-restore prod-eu {env.new_job_id()}")

        assert await bot.stop(TEN_SECONDS) == 0, bot.log

        env.atlas.faults.clear()
        env.slack.faults.clear()
        await env.start()
        await env.wait_for_outcomes(OUTCOME_TIMEOUT)
        for job in env.submitted:
            env.check_deletes(job)


async def test_shutdown_ends_in_time_while_the_database_hangs(
    mode: Mode, postgres: PostgresServer, on_postgres: str
) -> None:
    async with opened(on_postgres, mode=mode, timings=OUTAGE_TIMINGS) as env:
        bot = await env.start()
        env.atlas.faults.add(Fault(kind=Kind.HANG, times=None, method="DELETE"))
        await env.request_new_job("rina")
        await wait_until(lambda: bool(env.atlas.faults.active) and '"atlas:cancel_sent"' in bot.log)
        postgres.pause()
        try:
            asking = asyncio.create_task(
                env.slack.people.types("ada", "ops", f"/cancel-restore prod-eu {env.new_job_id()}")
            )
            code = await bot.stop(TEN_SECONDS)
            await asking
        finally:
            postgres.resume()
        env.atlas.faults.clear()
        await env.start()

        await env.wait_for_outcomes(OUTCOME_TIMEOUT)

        assert code == 0, bot.log
        await env.check_outcomes()


async def test_submission_during_shutdown_is_completed_or_not_acknowledged(
    mode: Mode, on_sqlite: str
) -> None:
    async with opened(on_sqlite, mode=mode) as env:
        bot = await env.start()
        views = [(env.person(number), env.new_job_id()) for number in range(8)]
        for user, job in views:
            await env.open_dialog_of(user, job)
        sending = []
        stopping = asyncio.create_task(bot.stop(TEN_SECONDS))
        for user, job in views:
            sending.append(asyncio.create_task(env.submit_dialog(user, job)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*sending)
        assert await stopping == 0, bot.log
        await env.start()

        await env.wait_for_outcomes(OUTCOME_TIMEOUT)

        await env.check_outcomes()


async def test_approver_whose_click_waits_for_slack_at_shutdown_is_asked_to_try_again(
    on_sqlite: str,
) -> None:
    async with opened(on_sqlite, approvals=1) as env:
        bot = await env.start()
        card = await env.wait_for_card(await env.request_new_job("rina"))
        env.slack.faults.add("users.info", SlackFault(kind="ratelimited", seconds=60), times=99)
        assert (await env.slack.people.clicks("ada", card, ids.APPROVE)).ok
        await env.slack.until(lambda: env.slack.state.ephemerals("ada"))

        assert await bot.stop(TEN_SECONDS) == 0, bot.log

        said = [each["text"] for each in env.slack.state.ephemerals("ada")]
        assert said[1:] == [str(StoppedWaiting())]
