"""People request, approve, deny and withdraw while bots, databases and connections fail."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from tests.support.postgres import open_postgres
from tests.tools.campaign.checks.audit_log import read_audit_log
from tests.tools.campaign.checks.observations import Observations
from tests.tools.campaign.checks.requests import violations
from tests.tools.campaign.checks.rules import Rule, Violation
from tests.tools.campaign.environment import Plan, opened
from tests.tools.campaign.faults.faketime import set_clock
from tests.tools.campaign.figures import Result, tables
from tests.tools.campaign.scenarios import write_scenarios

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.cancellation.events import Recorded
    from tests.support.postgres import PostgresServer
    from tests.tools.campaign.environment import CampaignEnvironment
    from tests.tools.campaign.faults.injector import FaultInjector
    from tests.tools.campaign.options import Options
    from tests.tools.campaign.scenarios import Scenario
    from tests.tools.reporting.report import Table

log = structlog.get_logger(__name__)

#: Seconds for open scenarios to finish after the fault injection ends.
LAST_ACTIONS_TIMEOUT = 480.0

#: Seconds from the last action to the last outcome and edit, at most.
SETTLE = 120.0

#: Concurrent scenarios, and seconds between two faults for each bot.
MAX_CONCURRENT_SCENARIOS = 40
MEAN = 2.4

#: How far the clocks of bots are off from the server's, in seconds, and how often one is set.
OFF = (-3600, -10, 0, 10, 3600)
CLOCK_WEIGHT = 20

#: The parts, with the fraction of the requests of each.
PARTS = (
    # Leases and expiry go by PostgreSQL's time: here the clocks of the bots are wrong.
    (0.4, Plan(name="PostgreSQL, 3 bots, Socket Mode", mode="socket", replicas=3, clock=True)),
    (
        0.4,
        # Whether Slack recognizes a repeated post is not documented: here it does not.
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


async def part(plan: Plan, options: Options, postgres: PostgresServer | None) -> Result:
    """Run the scenarios under faults, and check the results.

    Args:
        plan: which environment.
        options: how much and how long.
        postgres: the server; None for a SQLite file.
    """
    async with opened(plan, options.folder, postgres, options.seed) as env:
        log.info("part begins", part=plan.name)
        await env.open()
        injector = env.injector()
        if plan.clock:
            injector.more["clock: one bot's set"] = (CLOCK_WEIGHT, partial(set_a_clock, injector))
        scenarios = write_scenarios(
            options.requests, env.new_job, env.rng, quarantine=plan.quarantine
        )
        await run_under_faults(env, scenarios, injector, options.seconds)
        await settle(env, scenarios)
        audit_log = await read_audit_log(env.database_url)
    # The bots have ended by now, and all their logs are there.
    observations = observe(env, scenarios, injector, audit_log)
    found = [
        *violations(observations),
        *(Violation(Rule.CAMPAIGN, each) for each in injector.failed_actions),
    ]
    if found:
        env.keep_evidence(observations, found)
    return Result(plan=plan, observations=observations, injector=injector, found=found)


async def set_a_clock(injector: FaultInjector) -> str:
    replica, seconds = injector.rng.choice(injector.replicas), injector.rng.choice(OFF)
    set_clock(replica.folder / f"{replica.name}.clock", seconds)
    return f"{replica.name} {seconds:+} s"


def observe(
    env: CampaignEnvironment,
    scenarios: Sequence[Scenario],
    injector: FaultInjector,
    audit_log: tuple[list[Recorded], list[str]],
) -> Observations:
    """Return the observations of the run."""
    events, breaks = audit_log
    return Observations(
        scenarios=scenarios,
        messages=env.messages,
        slack=env.slack,
        atlas=env.atlas,
        events=events,
        breaks=breaks,
        faults=injector.faults,
        to_atlas=env.to_atlas.broken_exchanges,
        processes=[process for replica in env.replicas for process in replica.processes],
        logs=env.logs,
        secrets=env.secrets,
        posts_may_double=env.plan.client_msg_id == "ignore",
    )


async def run_under_faults(
    env: CampaignEnvironment, scenarios: Sequence[Scenario], injector: FaultInjector, seconds: float
) -> None:
    """Start the scenarios evenly over so many seconds, and inject faults; people then finish."""
    env.delivery.faults.late, env.delivery.faults.twice = 0.1, 0.05
    injecting = asyncio.create_task(injector.inject(MEAN))
    playing = await start_scenarios(env, scenarios, injector, seconds)
    # The last ones get their faults too.
    await asyncio.wait(playing, timeout=min(20.0, seconds / 4))
    injecting.cancel()
    await asyncio.gather(injecting, return_exceptions=True)
    await injector.remove_faults()
    await env.delivery.stop()
    log.info("faults ended", faults=len(injector.faults))
    await end(playing)


async def start_scenarios(
    env: CampaignEnvironment, scenarios: Sequence[Scenario], injector: FaultInjector, seconds: float
) -> list[asyncio.Task[None]]:
    """Start one scenario after the other, and return their tasks."""
    people, room = env.people(), asyncio.Semaphore(MAX_CONCURRENT_SCENARIOS)

    async def play(scenario: Scenario) -> None:
        async with room:
            await people.play(scenario)

    playing = []
    for scenario in scenarios:
        playing.append(asyncio.create_task(play(scenario)))
        if len(playing) % 25 == 0:
            done = sum(task.done() for task in playing)
            log.info("people", started=len(playing), done=done, faults=len(injector.faults))
        await asyncio.sleep(env.rng.uniform(0, 2 * seconds / len(scenarios)))
    return playing


async def end(playing: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the scenarios to end, and raise their errors."""
    _, late = await asyncio.wait(playing, timeout=LAST_ACTIONS_TIMEOUT)
    for task in late:
        task.cancel()
    for outcome in await asyncio.gather(*playing, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


async def settle(env: CampaignEnvironment, scenarios: Sequence[Scenario]) -> None:
    """Wait until every acknowledged request has ended; the rules find the others."""
    await env.ready()
    acknowledged = [scenario.job.id for scenario in scenarios if scenario.acknowledged]

    def ended() -> bool:
        threads = map(env.messages.of, acknowledged)
        return all(
            thread is not None and thread.settled and env.messages.copies_show(thread)
            for thread in threads
        )

    with suppress(TimeoutError):
        await env.slack.until(ended, SETTLE)
