"""People ask, approve, deny and withdraw while bots, databases, sockets and services break."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from tests.support.postgres import open_postgres
from tests.tools.campaign.check import violations
from tests.tools.campaign.figures import Result, Times, tables
from tests.tools.campaign.house import Plan, lag, opened
from tests.tools.campaign.people import write_stories
from tests.tools.campaign.rules import Rule, Violation
from tests.tools.campaign.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bot.cancellation.events import Recorded
    from tests.support.postgres import PostgresServer
    from tests.tools.bench.report import Table
    from tests.tools.campaign.house import House
    from tests.tools.campaign.options import Options
    from tests.tools.campaign.people import Story
    from tests.tools.campaign.weather import Weather

log = structlog.get_logger(__name__)

#: Seconds for which people may still be at it when the weather ends.
LAST_ACTS = 240.0

#: Seconds after their last acts in which everything on our word must have ended.
SETTLE = 90.0

#: How many people are at it at the same time, and seconds between two faults, for each bot.
AT_ONCE = 40
MEAN = 2.4

#: The parts, with the share of the requests that each gets.
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
    """Run every part and return its figures; raises nothing for a violation, the table says it."""
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
    return tables("Requests in a storm", results)


def plans(requests: int) -> list[tuple[Plan, int]]:
    """Share the requests out."""
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
    trouble: Callable[[Weather], None] = lambda _weather: None,
) -> Result:
    """Let so many stories happen in a storm, and look at what is left.

    Args:
        plan: which house.
        options: how much and how long.
        postgres: the server; None for a SQLite file.
        trouble: adds to what may go wrong.
    """
    async with opened(plan, options.folder, postgres, options.seed) as house:
        log.info("part begins", part=plan.name)
        await house.open()
        weather = house.weather()
        trouble(weather)
        stories = write_stories(options.requests, house.new_job, house.dice)
        times = await played(house, stories, weather, options.seconds)
        record = await house.record()
    # The bots have ended by now, and all their logs are there.
    scene = scene_of(house, stories, weather, record)
    found = [*violations(scene), *(Violation(Rule.CAMPAIGN, each) for each in weather.broken)]
    if found:
        house.keep_evidence(scene, found)
    return Result(plan=plan, scene=scene, weather=weather, house=house, found=found, times=times)


async def played(house: House, stories: Sequence[Story], weather: Weather, seconds: float) -> Times:
    """Let the storm come and go, wait for all ends, and say how long it took."""
    lags: list[float] = []
    watching = asyncio.create_task(lag(lags))
    began = time.monotonic()
    cleared = await storm(house, stories, weather, seconds)
    await settle(house, stories)
    settled = time.monotonic()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return Times(stormed=cleared - began, settled_in=settled - cleared, lags=lags)


def scene_of(
    house: House,
    stories: Sequence[Story],
    weather: Weather,
    record: tuple[list[Recorded], list[str]],
) -> Scene:
    """Return what there is to look at."""
    events, breaks = record
    return Scene(
        stories=stories,
        board=house.board,
        slack=house.slack,
        atlas=house.atlas,
        events=events,
        breaks=breaks,
        blows=weather.blows,
        to_atlas=house.to_atlas.struck,
        lives=[life for replica in house.replicas for life in replica.lives],
        logs=house.logs,
        secrets=house.secrets,
        posts_may_double=house.plan.client_msg_id == "ignore",
    )


async def storm(house: House, stories: Sequence[Story], weather: Weather, seconds: float) -> float:
    """Let people come evenly over so many seconds, in bad weather all the while.

    Returns:
        When the weather was good again, by the monotonic clock; people then come to their ends.
    """
    house.courier.rain.late, house.courier.rain.twice = 0.1, 0.05
    raging = asyncio.create_task(weather.rage(MEAN))
    playing = await come(house, stories, weather, seconds)
    # The last ones have their storm too.
    await asyncio.wait(playing, timeout=min(20.0, seconds / 4))
    raging.cancel()
    await asyncio.gather(raging, return_exceptions=True)
    await weather.clear_up()
    await house.courier.calm()
    cleared = time.monotonic()
    log.info("storm is over", faults=len(weather.blows))
    await end(playing)
    return cleared


async def come(
    house: House, stories: Sequence[Story], weather: Weather, seconds: float
) -> list[asyncio.Task[None]]:
    """Begin one story after the other, and return what may still be under way."""
    people, room = house.people(), asyncio.Semaphore(AT_ONCE)

    async def play(story: Story) -> None:
        async with room:
            await people.play(story)

    playing = []
    for story in stories:
        playing.append(asyncio.create_task(play(story)))
        if len(playing) % 25 == 0:
            done = sum(task.done() for task in playing)
            log.info("people", came=len(playing), done=done, faults=len(weather.blows))
        await asyncio.sleep(house.dice.uniform(0, 2 * seconds / len(stories)))
    return playing


async def end(playing: Sequence[asyncio.Task[None]]) -> None:
    """Give people their time to come to an end; raises what went wrong in playing them."""
    _, late = await asyncio.wait(playing, timeout=LAST_ACTS)
    for task in late:
        task.cancel()
    for outcome in await asyncio.gather(*playing, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


async def settle(house: House, stories: Sequence[Story]) -> None:
    """Wait until everything on our word has ended; what has not is found by the rules."""
    await house.ready()
    ours = [story.job.id for story in stories if story.acknowledged]

    def ended() -> bool:
        threads = map(house.board.of, ours)
        return all(thread is not None and thread.settled for thread in threads)

    with suppress(TimeoutError):
        await house.slack.until(ended, SETTLE)
