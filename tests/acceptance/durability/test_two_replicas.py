"""Two bots on one PostgreSQL, in both of Slack's modes: any takes anything, either may die."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.durability.house import BOUND, opened, until
from tests.acceptance.durability.side_by_side import side_by_side

if TYPE_CHECKING:
    from tests.acceptance.durability.house import House, Mode
    from tests.support.postgres import PostgresServer
    from tests.support.process import BotProcess

MODES: tuple[Mode, ...] = ("socket", "http")

#: Random kills: rounds, and how many people ask in each.
ROUNDS = 4
PEOPLE = 4


@pytest.fixture(params=["socket", "http"])
def mode(request: pytest.FixtureRequest) -> Mode:
    kind: Mode = request.param
    return kind


async def two(house: House) -> tuple[BotProcess, BotProcess]:
    """Start two bots at the same moment, on an empty database."""
    first, second = house.spawn(), house.spawn()
    await asyncio.gather(first.ready(), second.ready())
    house.route(first)
    return first, second


async def test_the_other_replica_takes_over_within_the_bound(postgres: PostgresServer) -> None:
    async def scenario(mode: Mode) -> None:
        url = await asyncio.to_thread(postgres.new_database)
        async with opened(url, mode=mode) as house:
            first, second = await two(house)
            job = house.new_job()
            house.atlas.faults.add(Fault(kind=Kind.HANG_AFTER, method="DELETE", path=job))
            await house.opens("rina", job)
            assert (await house.submits("rina", job)).ok
            await until(lambda: not house.atlas.faults.active)
            runner = first if '"atlas:cancel_sent"' in first.log else second
            other = second if runner is first else first
            runner.kill()
            killed = time.monotonic()
            house.route(other)

            await house.until_ended(killed + BOUND - time.monotonic())

            await house.check()
            assert '"request:taken_over"' in other.log
            assert await other.stop() == 0, other.log

    await side_by_side({mode: scenario(mode) for mode in MODES})


async def test_any_replica_takes_any_click_and_each_thing_is_posted_once(
    mode: Mode, on_postgres: str
) -> None:
    async with opened(on_postgres, mode=mode, approvals=2) as house:
        first, second = await two(house)
        for number in range(4):
            house.route((first, second)[number % 2])
            job = await house.asks(house.person(number))
            house.route((second, first)[number % 2])
            card = await house.card_of(job)
            # Two people at once; in Socket Mode Slack itself takes the connections in turn.
            acks = await asyncio.gather(
                *(
                    house.slack.people.clicks(who, card, "cancel_restore_approve")
                    for who in ("ada", "abe")
                )
            )
            assert all(ack.ok for ack in acks)

        await house.until_ended()

        await house.check()
        assert len(house.atlas.deletes()) == 4
        assert '"event": "request:' in first.log
        assert '"event": "request:' in second.log


async def test_a_double_submission_to_two_replicas_is_one_request(on_postgres: str) -> None:
    async with opened(on_postgres, mode="http") as house:
        first, second = await two(house)
        job = house.new_job()
        await house.opens("rina", job)
        sent = asyncio.create_task(house.submits("rina", job))
        await asyncio.sleep(0)  # it is on its way to the first replica
        house.route(second)
        again = await house.slack.people.redelivers()
        assert (await sent).ok
        assert again.ok

        await house.until_ended()

        await house.check()
        assert len(house.atlas.deletes(job)) == 1
        assert (first.log + second.log).count('"event": "request:created"') == 1


async def test_killed_at_random_again_and_again_nothing_is_lost_or_doubled(
    on_postgres: str,
) -> None:
    """Two bots; in each round some people ask, and a moment later one of the two dies."""
    dice = random.Random(20261125)  # noqa: S311 - the same kills at every run
    async with opened(on_postgres) as house:
        await two(house)
        for number in range(ROUNDS):
            for each in range(PEOPLE):
                await _tries_to_ask(house, house.person(number * PEOPLE + each))
            await asyncio.sleep(dice.uniform(0.0, 0.12))
            dice.choice([bot for bot in house.bots if bot.code is None]).kill()
            await house.start()
        await house.until_ended()

        await house.check()
        assert len(house.asked) > ROUNDS * PEOPLE / 2


async def _tries_to_ask(house: House, user: str) -> None:
    """Ask; what Slack could not deliver or the bot did not acknowledge is not on our word."""
    job = house.new_job()
    try:
        await house.opens(user, job, seconds=2)
    except (AssertionError, TimeoutError):
        return
    await house.submits(user, job)


async def test_killed_at_random_on_sqlite(on_sqlite: str) -> None:
    """One bot that dies at a random moment of each of its lives."""
    dice = random.Random(1125)  # noqa: S311 - the same kills at every run
    async with opened(on_sqlite) as house:
        for number in range(ROUNDS):
            await house.start()
            asking = [
                asyncio.create_task(_tries_to_ask(house, house.person(number * PEOPLE + each)))
                for each in range(PEOPLE)
            ]
            await asyncio.sleep(dice.uniform(0.02, 0.35))
            house.bot.kill()
            await asyncio.gather(*asking)
        await house.start()
        await house.until_ended()

        await house.check()
        assert house.asked
