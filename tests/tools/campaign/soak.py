"""Two bots on PostgreSQL under a steady load: memory and files stay flat, nothing is left over."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import structlog

from tests.support.postgres import open_postgres
from tests.tools.bench.report import Goal, Row, Table, percentile
from tests.tools.campaign.check_logs import problems_in_logs, traces_in
from tests.tools.campaign.environment import Plan, measure_lag, opened
from tests.tools.campaign.figures import SHOWN
from tests.tools.campaign.growth import growth_table, watch
from tests.tools.campaign.people import Scenario
from tests.tools.campaign.worlds import CHANNELS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.tools.campaign.environment import CampaignEnvironment
    from tests.tools.campaign.growth import Sample
    from tests.tools.campaign.options import Options
    from tests.tools.campaign.replicas import Replica

#: How many requests are under way at most; what comes then is not begun, and counted.
CROWD = 300

#: Requests at once before the steady load begins: more than a bot has connections. What is open
#: after that is all that it may open, and what comes on top later is growth.
RUSH = 100

#: As many calls as the load needs, of one project: Atlas itself takes 500 a minute, so that so many
#: cancellations would be of a dozen projects.
CALLS_A_MINUTE = 20_000

PLAN = Plan(
    name="soak",
    mode="socket",
    replicas=2,
    people=2 * CROWD,
    direct=True,
    calls_a_minute=CALLS_A_MINUTE,
)

#: Seconds after its end for which a request stays in the fake servers: edits may still come.
REMEMBERED = 20.0

#: Seconds in which everything has ended once nobody asks any more.
SETTLE = 60.0

PENDING = re.compile(r"^cancel_restore_pending_requests (\S+)$", re.MULTILINE)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Tally:
    """What came of the load."""

    lasted: float = 0.0
    asked: int = 0
    turned_away: int = 0
    cancelled: int = 0
    retried: int = 0
    otherwise: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)

    @property
    def so_far(self) -> dict[str, int]:
        return {"asked": self.asked, "cancelled": self.cancelled, "retried": self.retried}


async def run(options: Options) -> list[Table]:
    """Keep the load up for so many minutes, and return what the bots used."""
    async with open_postgres() as postgres:
        folder = options.folder / "soak"
        await asyncio.to_thread(folder.mkdir)
        async with opened(PLAN, folder, postgres, options.seed) as env:
            tally = await played(env, options)
    return [load_table(env, tally), growth_table(tally.samples)]


async def played(env: CampaignEnvironment, options: Options) -> Tally:
    """Start the bots, let people ask for as long as they shall, and see that nothing is left."""
    await env.open()
    tally = Tally()
    async with watched(env.replicas, tally):
        await Load(env, tally).keep_up(options.rate, options.seconds)
    tally.otherwise += await settle(env)
    _, breaks = await env.record()
    tally.otherwise += breaks
    return tally


@asynccontextmanager
async def watched(replicas: Sequence[Replica], tally: Tally) -> AsyncIterator[None]:
    """Sample the bots, and this very process, meanwhile."""
    watching = [
        asyncio.create_task(watch(replicas, tally.samples)),
        asyncio.create_task(measure_lag(tally.lags)),
    ]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


class Load:
    """People who ask one after the other, each once the one before is done with it."""

    def __init__(self, env: CampaignEnvironment, tally: Tally) -> None:
        self._house = env
        self._tally = tally
        self._people = env.people()
        self._free = deque(range(CROWD))
        self._ended: deque[tuple[float, Scenario]] = deque()

    async def keep_up(self, rate: float, seconds: float) -> None:
        """Let a load ask at once, then somebody `rate` times a second, answered before or not."""
        async with asyncio.TaskGroup() as crowd:
            for _ in range(RUSH):
                crowd.create_task(self._ask(self._free.popleft()))
        began = time.monotonic()
        async with asyncio.TaskGroup() as crowd:
            for number in range(1, round(seconds * rate) + 1):
                await asyncio.sleep(began + number / rate - time.monotonic())
                if self._free:
                    crowd.create_task(self._ask(self._free.popleft()))
                else:
                    self._tally.turned_away += 1
                self._tidy()
                if number % max(1, round(60 * rate)) == 0:
                    log.info("soak", **self._tally.so_far, open=CROWD - len(self._free))
            self._tally.lasted = time.monotonic() - began

    async def _ask(self, who: int) -> None:
        """One command, one submission, one cancellation."""
        tally = self._tally
        tally.asked += 1
        job, room = self._house.new_job("free"), f"room-{tally.asked % CHANNELS}"
        scenario = Scenario(who, "asked", job, room)
        began = time.monotonic()
        await self._people.play(scenario)
        tally.seconds.append(time.monotonic() - began)
        self._note(scenario)
        self._ended.append((time.monotonic(), scenario))
        self._free.append(who)

    def _note(self, scenario: Scenario) -> None:
        self._tally.retried += scenario.retried
        thread = self._house.board.of(scenario.job.id)
        if thread and thread.settled and thread.state == "cancelled" and scenario.job.cancelled:
            self._tally.cancelled += 1
        else:
            state = thread.state if thread else "not there"
            self._tally.otherwise.append(f"the card for job {scenario.job.id} is {state}")

    def _tidy(self) -> None:
        """Let the fake servers forget what ended a while ago, so that they do not grow either."""
        while self._ended and self._ended[0][0] < time.monotonic() - REMEMBERED:
            forget(self._house, self._ended.popleft()[1].job.id)
        slack, atlas = self._house.slack, self._house.atlas
        for grown in (slack.world.calls, slack.sockets.envelopes, atlas.calls):
            del grown[:-50]
        slack.world.messages._by_client_id.clear()


def forget(env: CampaignEnvironment, job: str) -> None:
    """Take a job, and all that was posted about it, out of the fake servers."""
    messages = env.slack.world.messages
    for thread in env.board.forget(job):
        for post in (*thread.cards.values(), *thread.replies.values()):
            if message := messages.find(post["channel"], post["ts"]):
                messages.remove(message)
    env.known.discard(job)
    for project in env.atlas.world.projects.values():
        for cluster in project.clusters.values():
            cluster.jobs.pop(job, None)


async def settle(env: CampaignEnvironment) -> list[str]:
    """Wait until every bot says that nothing is pending; say who does not."""
    until = time.monotonic() + SETTLE
    while any(counts := [await pending(replica) for replica in env.replicas]):
        if time.monotonic() > until:
            return [f"requests are pending still: {counts}"]
        await asyncio.sleep(1.0)
    return []


async def pending(replica: Replica) -> float:
    """How many requests the bot says are on their way."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        answer = await session.get(f"http://127.0.0.1:{replica.port}/metrics")
        (found,) = PENDING.findall(await answer.text())
    return float(found)


def load_table(env: CampaignEnvironment, tally: Tally) -> Table:
    """The table of what was asked and how it went."""
    lives = [life for replica in env.replicas for life in replica.lives]
    found = [*tally.otherwise, *(f"{life.log}: {life.odd}" for life in lives if life.odd)]
    found += traces_in(env.logs)
    measure_lag = (
        f"this machine kept the campaign itself waiting for {max(tally.lags):.1f} s at worst"
    )
    return Table(
        title="A steady load",
        first="Two bots, PostgreSQL, Socket Mode",
        columns=["figure"],
        rows=[Row(name, [value]) for name, value in figures(env, tally).items()],
        goals=[
            Goal.at_most("turned away since so many were under way", tally.turned_away, 0),
            Goal(text="left over or ended otherwise: none", seen=len(found), held=not found),
        ],
        notes=[*found[:SHOWN], measure_lag],
    )


def figures(env: CampaignEnvironment, tally: Tally) -> dict[str, float | int]:
    acks = env.delivery.counts.seconds
    return {
        "asked for a cancellation each second": (tally.asked - RUSH) / tally.lasted,
        "requests": tally.asked,
        "cancelled, and said so": tally.cancelled,
        "failures told, then tried again": tally.retried,
        "ack, median s": percentile(acks, 0.5),
        "ack, 99 of 100 within s": percentile(acks, 0.99),
        "from command to outcome, median s": percentile(tally.seconds, 0.5),
        "from command to outcome, 99 of 100 within s": percentile(tally.seconds, 0.99),
        "errors in the logs": sum(problems_in_logs(env.logs).values()),
    }
