"""People request, approve, deny and withdraw while bots, databases and connections fail."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from tests.support.postgres import open_postgres
from tests.tools.campaign.check import violations
from tests.tools.campaign.environment import Plan, measure_lag, opened
from tests.tools.campaign.figures import Result, Times, tables
from tests.tools.campaign.observations import Observations
from tests.tools.campaign.rules import Rule, Violation
from tests.tools.campaign.scenarios import write_scenarios

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bot.cancellation.events import Recorded
    from tests.support.postgres import PostgresServer
    from tests.tools.bench.report import Table
    from tests.tools.campaign.environment import CampaignEnvironment
    from tests.tools.campaign.fault_injector import FaultInjector
    from tests.tools.campaign.options import Options
    from tests.tools.campaign.scenarios import Scenario

log = structlog.get_logger(__name__)

#: Seconds for open scenarios to finish after the fault injection ends.
LAST_ACTS = 240.0

#: Seconds from the last action to the last outcome, at most.
SETTLE = 90.0

#: Concurrent scenarios, and seconds between two faults for each bot.
MAX_CONCURRENT_SCENARIOS = 40
MEAN = 2.4

#: The parts, with the fraction of the requests of each.
PARTS = (
    (0.4, Plan(name="PostgreSQL, 3 bots, Socket Mode", mode="socket", replicas=3)),
    (
        0.4,
        # Whether Slack knows a repeated post is not documented: here it does not.
        Plan(name="PostgreSQL, 3 bots, HTTP", mode="http", replicas=3, client_msg_id="ignore"),
    ),
    (0.2, Plan(name="SQLite, 1 bot, Socket Mode", mode="socket", replicas=1)),
)


async def run(options: Options) -> list[Table]:
    """Run every part and return its tables; violations are in the tables."""
    results = []
    async with open_postgres() as postgres:
        for number, (plan, count) in enumerate(plans(options.requests)):
            on_sqlite = plan.replicas == 1
            scale = replace(
                options,
                seed=options.seed + number,
                minutes=options.minutes * count / options.requests,
                requests=count,
                folder=options.folder / f"kills-{number + 1}",
            )
            scale.folder.mkdir()
            results.append(await part(plan, scale, None if on_sqlite else postgres))
    return tables("Requests under faults", results)


def plans(requests: int) -> list[tuple[Plan, int]]:
    """Distribute the requests over the parts."""
    counts = [max(1, round(share * requests)) for share, _ in PARTS]
    return [
        (replace(plan, people=2 * count), count)
        for (_, plan), count in zip(PARTS, counts, strict=True)
    ]


async def part(
    plan: Plan,
    options: Options,
    postgres: PostgresServer | None,
    *,
    trouble: Callable[[FaultInjector], None] = lambda _weather: None,
) -> Result:
    """Let so many scenarios happen in a storm, and look at what is left.

    Args:
        plan: which environment.
        options: how much and how long.
        postgres: the server; None for a SQLite file.
        trouble: adds to what may go wrong.
    """
    async with opened(plan, options.folder, postgres, options.seed) as env:
        log.info("part begins", part=plan.name)
        await env.open()
        injector = env.injector()
        trouble(injector)
        scenarios = write_scenarios(
            options.requests, env.new_job, env.dice, quarantine=plan.quarantine
        )
        times = await played(env, scenarios, injector, options.seconds)
        record = await env.record()
    # The bots have ended by now, and all their logs are there.
    observations = observe(env, scenarios, injector, record)
    found = [
        *violations(observations),
        *(Violation(Rule.CAMPAIGN, each) for each in injector.broken),
    ]
    if found:
        env.keep_evidence(observations, found)
    return Result(
        plan=plan, observations=observations, injector=injector, env=env, found=found, times=times
    )


async def played(
    env: CampaignEnvironment, scenarios: Sequence[Scenario], injector: FaultInjector, seconds: float
) -> Times:
    """Let the storm come and go, wait for all ends, and say how long it took."""
    lags: list[float] = []
    watching = asyncio.create_task(measure_lag(lags))
    began = time.monotonic()
    cleared = await storm(env, scenarios, injector, seconds)
    await settle(env, scenarios)
    settled = time.monotonic()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return Times(stormed=cleared - began, settled_in=settled - cleared, lags=lags)


def observe(
    env: CampaignEnvironment,
    scenarios: Sequence[Scenario],
    injector: FaultInjector,
    record: tuple[list[Recorded], list[str]],
) -> Observations:
    """Return what there is to look at."""
    events, breaks = record
    return Observations(
        scenarios=scenarios,
        board=env.board,
        slack=env.slack,
        atlas=env.atlas,
        events=events,
        breaks=breaks,
        faults=injector.faults,
        to_atlas=env.to_atlas.struck,
        lives=[life for replica in env.replicas for life in replica.lives],
        logs=env.logs,
        secrets=env.secrets,
        posts_may_double=env.plan.client_msg_id == "ignore",
    )


async def storm(
    env: CampaignEnvironment, scenarios: Sequence[Scenario], injector: FaultInjector, seconds: float
) -> float:
    """Let people come evenly over so many seconds, in bad fault injection all the while.

    Returns:
        When the faults ended, by the monotonic clock; people then finish.
    """
    env.delivery.faults.late, env.delivery.faults.twice = 0.1, 0.05
    raging = asyncio.create_task(injector.rage(MEAN))
    playing = await come(env, scenarios, injector, seconds)
    # The last ones have their storm too.
    await asyncio.wait(playing, timeout=min(20.0, seconds / 4))
    raging.cancel()
    await asyncio.gather(raging, return_exceptions=True)
    await injector.clear_up()
    await env.delivery.calm()
    cleared = time.monotonic()
    log.info("storm is over", faults=len(injector.faults))
    await end(playing)
    return cleared


async def come(
    env: CampaignEnvironment, scenarios: Sequence[Scenario], injector: FaultInjector, seconds: float
) -> list[asyncio.Task[None]]:
    """Begin one scenario after the other, and return what may still be under way."""
    people, room = env.people(), asyncio.Semaphore(MAX_CONCURRENT_SCENARIOS)

    async def play(scenario: Scenario) -> None:
        async with room:
            await people.play(scenario)

    playing = []
    for scenario in scenarios:
        playing.append(asyncio.create_task(play(scenario)))
        if len(playing) % 25 == 0:
            done = sum(task.done() for task in playing)
            log.info("people", came=len(playing), done=done, faults=len(injector.faults))
        await asyncio.sleep(env.dice.uniform(0, 2 * seconds / len(scenarios)))
    return playing


async def end(playing: Sequence[asyncio.Task[None]]) -> None:
    """Give people their time to come to an end; raises what went wrong in playing them."""
    _, late = await asyncio.wait(playing, timeout=LAST_ACTS)
    for task in late:
        task.cancel()
    for outcome in await asyncio.gather(*playing, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


async def settle(env: CampaignEnvironment, scenarios: Sequence[Scenario]) -> None:
    """Wait until everything on our word has ended; what has not is found by the rules."""
    await env.ready()
    ours = [scenario.job.id for scenario in scenarios if scenario.acknowledged]

    def ended() -> bool:
        threads = map(env.board.of, ours)
        return all(
            thread is not None and thread.settled and env.board.copies_show(thread)
            for thread in threads
        )

    with suppress(TimeoutError):
        await env.slack.until(ended, SETTLE)
