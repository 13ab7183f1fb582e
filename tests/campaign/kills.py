"""People ask, approve, deny and withdraw while bots, databases, sockets and services break."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

import structlog

from tests.bench.report import Goal, Row, Table, percentile
from tests.campaign.check import Scene, endings, problems_in_logs, violations
from tests.campaign.house import Plan, lag, opened
from tests.campaign.people import Story, write_stories
from tests.postgres import PostgresServer

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from tests.campaign.house import House
    from tests.campaign.options import Options
    from tests.campaign.weather import Weather

log = structlog.get_logger(__name__)

#: Seconds after the last fault in which everything on our word must have ended; what is told
#: apart is how long it took.
SETTLE = 90.0

#: Seconds for which people may still be at it when the weather ends.
LAST_ACTS = 240.0

#: It could not start while the database was away; killed; told to end before it could hear.
ALLOWED = {0, 1, -SIGKILL, -SIGTERM}

#: How many people are at it at the same time, and seconds between two faults.
AT_ONCE = 40
MEAN = 0.8

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


@dataclass(slots=True)
class Result:
    """What one part gave."""

    plan: Plan
    stories: list[Story]
    scene: Scene
    weather: Weather
    house: House
    found: list[str]
    settled_in: float
    stormed: float
    lags: list[float] = field(default_factory=list)


async def run(options: Options) -> list[Table]:
    """Run every part and return its figures; raises nothing for a violation, the table says it."""
    results = []
    with ExitStack() as stack:
        postgres = await asyncio.to_thread(stack.enter_context, PostgresServer())
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
    return [figures("Requests in a storm", results), faults(results)]


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
    lags: list[float] = []
    async with opened(plan, options.folder, postgres, options.seed) as house:
        log.info("part begins", part=plan.name)
        await house.open()
        watching = asyncio.create_task(lag(lags))
        stories = write_stories(options.requests, house.new_job, house.dice)
        weather = house.weather()
        trouble(weather)
        began = time.monotonic()
        await storm(house, stories, weather, options.seconds)
        stormed = time.monotonic() - began
        log.info("storm is over", seconds=round(stormed), faults=len(weather.blows))
        settled_in = await settle(house, stories)
        watching.cancel()
        events, breaks = await house.record()
    scene = Scene(
        stories=stories,
        board=house.board,
        slack=house.slack,
        atlas=house.atlas,
        events=events,
        blows=weather.blows,
        logs=house.logs,
        secrets=house.secrets,
        posts_may_double=plan.client_msg_id == "ignore",
    )
    found = [*violations(scene), *(f"the record: {each}" for each in breaks)]
    found += [f"the campaign itself: {each}" for each in weather.broken]
    found += ends_badly(house)
    if found:
        house.keep("violations.json", found)
        house.keep_evidence(weather, events)
    return Result(plan, stories, scene, weather, house, found, settled_in, stormed, lags)


async def storm(house: House, stories: list[Story], weather: Weather, seconds: float) -> None:
    """Let people come evenly over so many seconds, in bad weather all the while."""
    people, room = house.people(), asyncio.Semaphore(AT_ONCE)
    house.courier.rain.late, house.courier.rain.twice = 0.1, 0.05
    raging = asyncio.create_task(weather.rage(MEAN))

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
    # The last ones have their storm too.
    await asyncio.wait(playing, timeout=min(20.0, seconds / 4))
    raging.cancel()
    await asyncio.gather(raging, return_exceptions=True)
    await weather.clear_up()
    house.courier.rain.late = house.courier.rain.twice = 0.0
    await asyncio.wait(playing, timeout=LAST_ACTS)
    for task in playing:
        task.cancel()
    await asyncio.gather(*playing, return_exceptions=True)


async def settle(house: House, stories: list[Story]) -> float:
    """Wait until everything on our word has ended, and return the seconds that it took."""
    await house.ready()
    began = time.monotonic()

    def ended() -> bool:
        threads = [house.board.of(story.job.id) for story in stories if story.acknowledged]
        return all(thread is not None and thread.settled for thread in threads)

    try:
        await house.slack.until(ended, SETTLE)
    except TimeoutError:
        return SETTLE  # what has not ended is found by the rules
    return time.monotonic() - began


def ends_badly(house: House) -> list[str]:
    """Every bot that was told to end must have done so, with exit code 0, in time."""
    odd = {replica.name: sorted(set(replica.codes) - ALLOWED) for replica in house.replicas}
    return [f"{name} ended with {codes}" for name, codes in odd.items() if codes]


def figures(title: str, results: list[Result]) -> Table:
    """The table of what was asked, done and found."""
    measured = [measures(result) for result in results]
    rows = [row(name, [each[name] for each in measured]) for name in measured[0]]
    found = [sentence for result in results for sentence in result.found]
    goals = [Goal(text="violations: none", seen=len(found), held=not found)]
    return Table(
        title=title,
        first="What was counted",
        columns=columns_of(results),
        rows=rows,
        goals=goals,
        notes=[*found[:20], *notes(results)],
    )


def columns_of(results: list[Result]) -> list[str]:
    """A column for each part, and one for all where there are several."""
    names = [result.plan.name for result in results]
    return [*names, "all"] if len(names) > 1 else names


def row(name: str, values: Sequence[float | int]) -> Row:
    return Row(name, [*values, total(values)] if len(values) > 1 else values)


def total(values: Sequence[float | int]) -> float | int:
    """The sum of counts; of seconds, which are no counts, the worst."""
    return max(values) if any(isinstance(value, float) for value in values) else sum(values)


def measures(result: Result) -> dict[str, float | int]:
    """The figures of one part."""
    scene, stories, counts = result.scene, result.stories, result.house.courier.counts
    told = endings(scene)
    ours = scene.on_our_word()
    waits = [story.seconds for story in stories if story.seconds is not None] or [0.0]
    replicas = result.house.replicas
    return {
        "stories": len(stories),
        "requests acknowledged": len(ours),
        "of them ended": sum(_ended(scene, story) for story in ours),
        "cancelled": told["cancelled"],
        "denied": told["denied"],
        "withdrawn": told["withdrawn"],
        "expired": told["expired"],
        "over (cancelled elsewhere)": told["over"],
        "failed": told["failed"],
        "DELETEs that took effect": sum(scene.effects(story) for story in stories),
        "DELETEs that came after one took effect": sum(len(scene.late(s)) for s in stories),
        "said cancelled and not, or the reverse": sum("said" in each for each in result.found),
        "cancelled without approvals": sum("approvals" in each for each in result.found),
        "failures told, then tried again": sum(story.retried for story in stories),
        "cards beside the one": sum("cards" in each for each in result.found),
        "copies of a post whose answer was lost": scene.copies,
        "clicks on cards": sum(story.clicks for story in stories),
        "deliveries of Slack": counts.sent,
        "of them repeated, not acknowledged": counts.again,
        "of them doubled on purpose": counts.twice,
        "lives of bots": sum(replica.lives for replica in replicas),
        "errors in their logs": sum(problems_in_logs(scene.logs).values()),
        "events on record, chain intact": len(scene.events),
        "violations": len(result.found),
        "storm, s": float(result.stormed),
        "from command to acknowledged, median s": percentile(waits, 0.5),
        "from command to acknowledged, worst s": max(waits),
        "all settled after the last act, s": float(result.settled_in),
        "slowest orderly end, s": max(replica.slowest_end for replica in replicas),
    }


def _ended(scene: Scene, story: Story) -> bool:
    thread = scene.board.of(story.job.id)
    return thread is not None and thread.settled


def faults(results: list[Result]) -> Table:
    """The table of what went wrong."""
    counted: list[Counter[str]] = [result.weather.counts() for result in results]
    names = sorted({name for counts in counted for name in counts})
    rows = [row(name, [counts[name] for counts in counted]) for name in names]
    return Table(title="What went wrong", first="Fault", columns=columns_of(results), rows=rows)


def notes(results: list[Result]) -> list[str]:
    """Where the evidence is, and how busy the machine was."""
    kept = [str(result.house.folder) for result in results if result.found]
    slowest = max((max(result.lags, default=0.0) for result in results), default=0.0)
    return [
        f"this machine kept the campaign itself waiting for {slowest:.1f} s at worst",
        *(f"evidence: {folder}" for folder in kept),
    ]
