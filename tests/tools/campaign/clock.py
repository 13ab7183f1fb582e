"""The bots' clocks jump while people ask and decide: leases and expiry hold."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.postgres import open_postgres
from tests.tools.campaign.environment import Plan
from tests.tools.campaign.faults.faketime import set_clock
from tests.tools.campaign.figures import tables
from tests.tools.campaign.kills import part

if TYPE_CHECKING:
    from tests.tools.campaign.faults.injector import FaultInjector
    from tests.tools.campaign.options import Options
    from tests.tools.reporting.report import Table

#: How far the clocks of bots are off from the server's, in seconds; each for itself.
OFF = (-3600, -10, 0, 10, 3600)

#: Weight of setting a clock among the other faults.
CLOCK_WEIGHT = 20


async def run(options: Options) -> list[Table]:
    """Let clocks jump among the other faults; one machine's clock is a matter of the tests."""
    plan = Plan(
        name="PostgreSQL, 3 bots",
        mode="socket",
        replicas=3,
        people=2 * options.requests,
        clock=True,
    )
    options = replace(options, folder=options.folder / "clock")
    await asyncio.to_thread(options.folder.mkdir)
    async with open_postgres() as postgres:
        results = [await part(plan, options, postgres, add_faults=disagree)]
    return tables("Requests while clocks jump", results)


def disagree(injector: FaultInjector) -> None:
    """Set each bot's clock off by another amount, repeatedly."""

    async def action() -> str:
        replica, seconds = injector.rng.choice(injector.replicas), injector.rng.choice(OFF)
        set_clock(replica.folder / f"{replica.name}.clock", seconds)
        return f"{replica.name} {seconds:+} s"

    injector.more["clock: one bot's set"] = (CLOCK_WEIGHT, action)
