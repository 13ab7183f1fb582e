"""A steady load on two bots and PostgreSQL: growth of memory and files, and leftovers."""

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
from tests.tools.campaign.checks.logs import problems_in_logs, traces_in
from tests.tools.campaign.environment import Plan, measure_lag, opened
from tests.tools.campaign.figures import SHOWN
from tests.tools.campaign.growth import growth_table, watch
from tests.tools.campaign.scenarios import Scenario
from tests.tools.campaign.worlds import CHANNELS
from tests.tools.reporting.report import Goal, Row, Table, percentile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.tools.campaign.environment import CampaignEnvironment
    from tests.tools.campaign.growth import Sample
    from tests.tools.campaign.options import Options
    from tests.tools.campaign.replicas import Replica

#: Maximum number of open requests; further ones are counted, not started.
MAX_OPEN_REQUESTS = 300

#: Concurrent requests before the steady load: more than a bot has connections. They open every
#: connection that a bot may open, so that what is opened later is growth.
INITIAL_REQUESTS = 100

#: Rate limit of the one project, high enough for the load: Atlas allows 500 calls a minute and
#: project, so that a real load of this size has a dozen projects.
CALLS_A_MINUTE = 20_000

PLAN = Plan(
    name="soak",
    mode="socket",
    replicas=2,
    people=2 * MAX_OPEN_REQUESTS,
    direct=True,
    calls_a_minute=CALLS_A_MINUTE,
)

#: Seconds after its end for which a request stays in the fake servers: edits may still come.
REMEMBERED = 20.0

#: Seconds until all requests must have an outcome after the load.
SETTLE = 60.0

PENDING = re.compile(r"^cancel_restore_pending_requests (\S+)$", re.MULTILINE)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class LoadCounts:
    """Counts of the load."""

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
    """Keep the load up for so many minutes, and return the resources of the bots."""
    async with open_postgres() as postgres:
        folder = options.folder / "soak"
        await asyncio.to_thread(folder.mkdir)
        async with opened(PLAN, folder, postgres, options.seed) as env:
            counts = await run_load(env, options)
    return [load_table(env, counts), growth_table(counts.samples)]


async def run_load(env: CampaignEnvironment, options: Options) -> LoadCounts:
    """Start the bots, make requests for the given time, and check that no request is left."""
    await env.open()
    counts = LoadCounts()
    async with sampled(env.replicas, counts):
        await Load(env, counts).keep_up(options.rate, options.seconds)
    counts.otherwise += await settle(env)
    _, breaks = await env.read_audit_log()
    counts.otherwise += breaks
    return counts


@asynccontextmanager
async def sampled(replicas: Sequence[Replica], counts: LoadCounts) -> AsyncIterator[None]:
    """Sample the bots and the delays of this process in the meantime."""
    watching = [
        asyncio.create_task(watch(replicas, counts.samples)),
        asyncio.create_task(measure_lag(counts.lags)),
    ]
    try:
        yield
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)


class Load:
    """People who ask one after the other, each once the previous request has ended."""

    def __init__(self, env: CampaignEnvironment, counts: LoadCounts) -> None:
        self._env = env
        self._counts = counts
        self._people = env.people()
        self._free = deque(range(MAX_OPEN_REQUESTS))
        self._ended: deque[tuple[float, Scenario]] = deque()

    async def keep_up(self, rate: float, seconds: float) -> None:
        """Start the initial requests, then `rate` requests a second, independent of answers."""
        async with asyncio.TaskGroup() as crowd:
            for _ in range(INITIAL_REQUESTS):
                crowd.create_task(self._ask(self._free.popleft()))
        began = time.monotonic()
        async with asyncio.TaskGroup() as crowd:
            for number in range(1, round(seconds * rate) + 1):
                await asyncio.sleep(began + number / rate - time.monotonic())
                if self._free:
                    crowd.create_task(self._ask(self._free.popleft()))
                else:
                    self._counts.turned_away += 1
                self._tidy()
                if number % max(1, round(60 * rate)) == 0:
                    log.info(
                        "soak", **self._counts.so_far, open=MAX_OPEN_REQUESTS - len(self._free)
                    )
            self._counts.lasted = time.monotonic() - began

    async def _ask(self, user: int) -> None:
        """One command, one submission, one cancellation."""
        counts = self._counts
        counts.asked += 1
        job, room = self._env.new_job("free"), f"room-{counts.asked % CHANNELS}"
        scenario = Scenario(user, "asked", job, room)
        began = time.monotonic()
        await self._people.play(scenario)
        counts.seconds.append(time.monotonic() - began)
        self._note(scenario)
        self._ended.append((time.monotonic(), scenario))
        self._free.append(user)

    def _note(self, scenario: Scenario) -> None:
        self._counts.retried += scenario.retried
        thread = self._env.messages.of(scenario.job.id)
        if thread and thread.settled and thread.state == "cancelled" and scenario.job.cancelled:
            self._counts.cancelled += 1
        else:
            state = thread.state if thread else "not there"
            self._counts.otherwise.append(f"the card for job {scenario.job.id} is {state}")

    def _tidy(self) -> None:
        """Remove old requests from the fake servers, so that these do not grow either."""
        while self._ended and self._ended[0][0] < time.monotonic() - REMEMBERED:
            forget(self._env, self._ended.popleft()[1].job.id)
        slack, atlas = self._env.slack, self._env.atlas
        for grown in (slack.world.calls, slack.sockets.envelopes, atlas.calls):
            del grown[:-50]
        slack.world.messages._by_client_id.clear()


def forget(env: CampaignEnvironment, job: str) -> None:
    """Remove a job, and everything that was posted about it, from the fake servers."""
    messages = env.slack.world.messages
    for thread in env.messages.forget(job):
        for post in (*thread.cards.values(), *thread.replies.values()):
            if message := messages.find(post["channel"], post["ts"]):
                messages.remove(message)
    env.known.discard(job)
    for project in env.atlas.world.projects.values():
        for cluster in project.clusters.values():
            cluster.jobs.pop(job, None)


async def settle(env: CampaignEnvironment) -> list[str]:
    """Wait until every bot reports nothing pending; return those that do not."""
    until = time.monotonic() + SETTLE
    while any(counts := [await pending(replica) for replica in env.replicas]):
        if time.monotonic() > until:
            return [f"requests are pending still: {counts}"]
        await asyncio.sleep(1.0)
    return []


async def pending(replica: Replica) -> float:
    """The number of pending requests that the bot reports."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session:
        answer = await session.get(f"http://127.0.0.1:{replica.port}/metrics")
        (found,) = PENDING.findall(await answer.text())
    return float(found)


def load_table(env: CampaignEnvironment, counts: LoadCounts) -> Table:
    """Return the table of requests and outcomes."""
    processes = [process for replica in env.replicas for process in replica.processes]
    found = [
        *counts.otherwise,
        *(f"{process.log}: {process.problem}" for process in processes if process.problem),
    ]
    found += traces_in(env.logs)
    lag = f"longest delay of the campaign itself by the machine: {max(counts.lags):.1f} s"
    return Table(
        title="A steady load",
        first="Two bots, PostgreSQL, Socket Mode",
        columns=["figure"],
        rows=[Row(name, [value]) for name, value in figures(env, counts).items()],
        goals=[
            Goal.at_most("rejected because of too many open requests", counts.turned_away, 0),
            Goal(text="left over or with another outcome: none", seen=len(found), held=not found),
        ],
        notes=[*found[:SHOWN], lag],
    )


def figures(env: CampaignEnvironment, counts: LoadCounts) -> dict[str, float | int]:
    acks = env.delivery.counts.seconds
    return {
        "requests per second": (counts.asked - INITIAL_REQUESTS) / counts.lasted,
        "requests": counts.asked,
        "cancelled, with outcome": counts.cancelled,
        "reported failures, then retried": counts.retried,
        "ack, median s": percentile(acks, 0.5),
        "ack, 99 of 100 within s": percentile(acks, 0.99),
        "from command to outcome, median s": percentile(counts.seconds, 0.5),
        "from command to outcome, 99 of 100 within s": percentile(counts.seconds, 0.99),
        "errors in the logs": sum(problems_in_logs(env.logs).values()),
    }
