"""The number of connections that other live processes hold, on both databases."""

from datetime import timedelta

from bot.storage.replicas import LIFETIME, ConnectionStore
from tests.integration.storage.conftest import Stores


async def test_each_process_gets_the_connections_of_the_others_that_live(env: Stores) -> None:
    one, two, three = (
        ConnectionStore(env.database, env.clock, f"replica-{number}") for number in (1, 2, 3)
    )
    assert [await each.report(2) for each in (one, two, three)] == [0, 2, 4]

    await two.report(1)
    assert await one.report(2) == 3

    env.clock.advance(LIFETIME.total_seconds())  # the others died
    assert await one.report(2) == 0


async def test_clock_that_was_set_back_keeps_no_dead_process(env: Stores) -> None:
    one, two = (ConnectionStore(env.database, env.clock, name) for name in ("1", "2"))
    await two.report(2)
    env.clock.advance(-timedelta(hours=1).total_seconds())

    assert await one.report(2) == 0
