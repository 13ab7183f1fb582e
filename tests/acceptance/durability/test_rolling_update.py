"""Two replicas restarted in turn under load: every command is answered, and nothing is lost."""

import asyncio
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

import pytest

from bot.sandbox.slack import Ack
from bot.slack import ids
from bot.timings import Timings
from tests.acceptance.durability.environment import CLUSTER, Mode, ProcessEnvironment, opened
from tests.acceptance.durability.load_balancer import LoadBalancer
from tests.support.process import BotProcess
from tests.support.timings import DATABASE_TIMEOUT, LONG_TIMEOUT_SLACK, SHORT_PROCESS_TIMINGS

Json = dict[str, Any]

#: Which is first, for each replica: the new one's start, or the old one's end.
Order = Literal["start first", "stop first"]

#: The bot's own time limits, but for the database on a busy machine: an answer within three
#: seconds is in time. All people type in one channel, and read outcomes soon.
REAL_TIMINGS = replace(
    Timings(), transaction_timeout=DATABASE_TIMEOUT, message_interval=0.05, edit_window=1.0
)
SHORT_TIMINGS = replace(SHORT_PROCESS_TIMINGS, message_interval=0.05, edit_window=1.0)

#: Commands in a second, each of another person, and commands at least.
RATE = 4.0
MIN_COMMANDS = 16
#: Seconds until Slack has sent something to each of two replicas.
SHARE_TIMEOUT = 20.0

#: Seconds that Slack waits for an answer, and that an end may take, as documented.
ACK_TIMEOUT = 3.0
SHUTDOWN_TIMEOUT = 10.0


@dataclass(slots=True)
class Replicas:
    """Two replicas behind a load balancer, or on Socket Mode."""

    env: ProcessEnvironment
    balancer: LoadBalancer

    async def start(self) -> BotProcess:
        """Start one more; it counts once `/readyz` and the balancer have it as ready."""
        bot = await self.env.spawn().ready()
        self.balancer.add(bot.url)
        await self.balancer.wait_until_ready(bot.url)
        return bot

    async def stop(self, bot: BotProcess) -> None:
        assert await bot.stop(SHUTDOWN_TIMEOUT) == 0, bot.log
        self.balancer.remove(bot.url)

    async def roll(self, order: Order) -> None:
        """Put a new replica in the place of each, once Slack has sent something to both."""
        pair = self.env.bots[-2:]
        await self.env.slack.until(lambda: all(map(has_taken_part, pair)), SHARE_TIMEOUT)
        for old in pair:
            if order == "stop first":
                await self.stop(old)
            await self.start()
            if order == "start first":
                await self.stop(old)


def has_taken_part(bot: BotProcess) -> bool:
    """Return whether Slack sent it a command or a submission; one of two may get commands only."""
    return '"command typed"' in bot.log or '"request:created"' in bot.log


async def ask_until(env: ProcessEnvironment, enough: asyncio.Event) -> None:
    """Let people type commands at a steady rate; at the end wait for the open ones."""
    async with asyncio.TaskGroup() as asking:
        for number in count():
            if enough.is_set():
                break
            asking.create_task(ask(env, env.person(number)))
            await asyncio.sleep(1 / RATE)


async def ask(env: ProcessEnvironment, user: str) -> None:
    """Ask for a new download; where the dialog asks the person to try again, they do."""
    job = env.new_job_id()

    def dialog() -> Json | None:
        view = env.slack.state.view_of(user)
        shows = view and job in str(view) and (view.get("submit") or ids.TRY_AGAIN in str(view))
        return view if shows else None

    is_answered(await env.send_command(user, f"{CLUSTER} {job}"))
    while not (view := await env.slack.until(dialog) or {}).get("submit"):
        await env.slack.people.clicks(user, view, ids.TRY_AGAIN)
        await env.slack.until(lambda: (dialog() or {}).get("submit") or not dialog())
    is_answered(await env.submit_dialog(user, job))


def is_answered(ack: Ack) -> None:
    assert (ack.ok, ack.status, ack.errors) == (True, 200, {}), ack
    assert ack.seconds < ACK_TIMEOUT


@pytest.mark.timeout(300)  # a busy machine takes its time; nothing here waits for long otherwise
@pytest.mark.parametrize(
    ("mode", "order", "timings"),
    [("http", "start first", REAL_TIMINGS), ("socket", "stop first", SHORT_TIMINGS)],
    ids=["http, start first, real timings", "socket, stop first"],
)
async def test_rolling_update_under_load_loses_and_delays_no_command(
    on_postgres: str, mode: Mode, order: Order, timings: Timings
) -> None:
    of_slack = LONG_TIMEOUT_SLACK
    async with (
        LoadBalancer().open() as balancer,
        opened(on_postgres, mode=mode, timings=timings, settings=of_slack) as env,
    ):
        env.slack.http.request_url = f"{balancer.url}/slack/events" if mode == "http" else None
        replicas, enough = Replicas(env, balancer), asyncio.Event()
        for _ in range(2):
            await replicas.start()
        asking = asyncio.create_task(ask_until(env, enough))
        try:
            # A quick machine rolls more often.
            while len(env.submitted) < MIN_COMMANDS and not asking.done():
                await replicas.roll(order)
        finally:
            enough.set()
            await asking

        await env.wait_for_outcomes(60)
        await env.check_outcomes()
        assert "Traceback" not in "".join(bot.log for bot in env.bots)
