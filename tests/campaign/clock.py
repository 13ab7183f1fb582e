"""The bots' clocks jump while people ask and decide: leases and expiry hold, nothing is stuck."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.campaign.faketime import set_clock
from tests.campaign.house import Plan
from tests.campaign.kills import faults, figures, part
from tests.postgres import PostgresServer

if TYPE_CHECKING:
    from tests.bench.report import Table
    from tests.campaign.options import Options
    from tests.campaign.weather import Weather

#: How far the clocks of replicas are off from the server's, in seconds; each for itself.
OFF = (-3600, -10, 0, 10, 3600)

#: How far one machine's clock is set, in seconds. Far ahead is left out: there it is right that
#: requests expire, and nobody could say which.
STEPS = (-3600, -60, -10, 10)

#: The share of the requests that people ask of several bots on PostgreSQL.
SHARE = 0.7

#: Projects in which nobody asks where a clock that is set back lets a request wait for long.
BRIEF = frozenset({"brief"})


async def run(options: Options) -> list[Table]:
    """Let clocks jump among the other faults, on both databases."""
    many = replace(
        options,
        minutes=options.minutes * SHARE,
        requests=round(options.requests * SHARE),
        folder=options.folder / "clock-1",
    )
    one = replace(
        options,
        minutes=options.minutes - many.minutes,
        requests=options.requests - many.requests,
        folder=options.folder / "clock-2",
    )
    for each in (many, one):
        await asyncio.to_thread(each.folder.mkdir)
    with ExitStack() as stack:
        postgres = await asyncio.to_thread(stack.enter_context, PostgresServer())
        results = [
            await part(plan("PostgreSQL, 3 bots", 3, many), many, postgres, trouble=disagree),
            await part(plan("SQLite, 1 bot", 1, one), one, None, trouble=step, without=BRIEF),
        ]
    return [figures("Requests while clocks jump", results), faults(results)]


def plan(name: str, replicas: int, options: Options) -> Plan:
    return Plan(
        name=name, mode="socket", replicas=replicas, people=2 * options.requests, clock=True
    )


def disagree(weather: Weather) -> None:
    """Let each replica's clock be off by another amount, again and again."""

    async def deed() -> str:
        replica, seconds = weather.dice.choice(weather.replicas), weather.dice.choice(OFF)
        set_clock(replica.folder / f"{replica.name}.clock", seconds)
        return f"{replica.name} {seconds:+} s"

    weather.more["clock: one bot's set"] = (20, deed)


def step(weather: Weather) -> None:
    """Let the one machine's clock be set, forward and back."""
    off = 0

    async def deed() -> str:
        nonlocal off
        (replica,) = weather.replicas
        seconds = weather.dice.choice(STEPS)
        off += seconds
        set_clock(replica.folder / f"{replica.name}.clock", off)
        return f"{seconds:+} s"

    weather.more["clock: the machine's set"] = (4, deed)
