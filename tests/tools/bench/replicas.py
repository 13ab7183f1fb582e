"""Requests settled a second by 1, 2 and 4 replicas on one PostgreSQL."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.postgres import open_postgres
from tests.tools.campaign.environment import Plan, opened
from tests.tools.campaign.scenarios import Scenario
from tests.tools.campaign.worlds import CHANNELS
from tests.tools.reporting.report import Goal, Row, Table, in_turn, median, ratio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.postgres import PostgresServer
    from tests.tools.campaign.environment import CampaignEnvironment
    from tests.tools.reporting.report import Scale

REPLICAS = (1, 2, 4)

#: Rate limit of the one project, high enough for the load: a real load of this size has a dozen.
CALLS_A_MINUTE = 20_000

#: People who ask at the same time, each again when the request has its outcome.
PEOPLE = 40

#: The least share of one replica's requests a second that several settle.
SHARE = 0.9

NOTES = (
    f"{PEOPLE} people in as many channels; a request is settled when its outcome is in its thread.",
    "Fake Slack and Atlas, PostgreSQL and all replicas share the cores of one machine.",
)


async def measure(scale: Scale) -> list[Table]:
    requests = scale.pick(2 * PEOPLE, 10 * PEOPLE)
    async with open_postgres() as postgres:
        variants: dict[str, Callable[[], Awaitable[float]]] = {
            str(number): partial(settled_a_second, postgres, number, requests)
            for number in REPLICAS
        }
        rates = await in_turn(variants, scale.pick(1, 3), warm=0)
    ratios = {name: ratio(given, rates["1"]) for name, given in rates.items()}
    several = {name: value for name, value in ratios.items() if name != "1"}
    return [
        Table(
            title="Requests settled a second",
            first="replicas",
            columns=("a second", "× one"),
            rows=[Row(name, [median(rates[name]), ratios[name]]) for name in rates],
            goals=[
                Goal(
                    text=f"{name} replicas settle ≥ {SHARE} × as many as one",
                    seen=value,
                    held=value >= SHARE,
                )
                for name, value in several.items()
            ],
            notes=NOTES,
        )
    ]


async def settled_a_second(postgres: PostgresServer, replicas: int, requests: int) -> float:
    """Let all people ask until so many requests are settled; raises `RuntimeError` for others."""
    plan = Plan(
        name=f"{replicas} replicas",
        mode="socket",
        replicas=replicas,
        people=2 * PEOPLE,
        direct=True,
        calls_a_minute=CALLS_A_MINUTE,
        quarantine=False,
    )
    with tempfile.TemporaryDirectory(prefix="cancel-restore-bench-") as folder:
        async with opened(plan, Path(folder), postgres, seed=replicas) as env:
            await env.open()
            await ask(env, PEOPLE)
            began = time.monotonic()
            await ask(env, requests)
            return requests / (time.monotonic() - began)


async def ask(env: CampaignEnvironment, requests: int) -> None:
    people, left = env.people(), deque(range(requests))

    async def person(user: int) -> None:
        while left:
            room = f"room-{left.popleft() % CHANNELS}"
            scenario = Scenario(user, "asked", env.new_job("free"), room)
            await people.play(scenario)
            thread = env.messages.of(scenario.job.id)
            if not (thread and thread.settled and thread.state == "cancelled"):
                raise RuntimeError(f"job {scenario.job.id} was not cancelled")

    async with asyncio.TaskGroup() as crowd:
        for user in range(PEOPLE):
            crowd.create_task(person(user))
