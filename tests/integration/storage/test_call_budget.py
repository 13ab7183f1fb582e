"""Budgets of calls to Slack hold over all replicas, on both databases."""

import asyncio

from bot.slack.directory import GROUP_READS_WINDOW, MAX_GROUP_READS
from bot.storage.replicas import CallBudget
from tests.integration.storage.conftest import Stores


async def test_two_replicas_share_the_budget_of_each_window(env: Stores) -> None:
    replicas = [CallBudget(env.database, env.clock) for _ in range(2)]
    calls: list[int] = []  # the seconds in which they were made
    for second in range(90):
        taken = [await replica.take("chat.update", 45, 60) for replica in replicas]
        calls += [second] * taken.count(0.0)
        env.clock.advance(1)

    in_each_minute = [sum(at <= each < at + 60 for each in calls) for at in calls]
    assert max(in_each_minute) == 45
    assert len(calls) == 90


async def test_concurrent_calls_are_counted_once_each(env: Stores) -> None:
    replicas = [CallBudget(env.database, env.clock) for _ in range(2)]
    waits = await asyncio.gather(*(each.take("chat.update", 5, 60) for each in replicas * 4))

    assert sorted(waits) == [0.0] * 5 + [60.0] * 3


async def test_room_for_fewer_calls_opens_later_and_methods_are_counted_apart(env: Stores) -> None:
    budget = CallBudget(env.database, env.clock)
    for _ in range(3):
        await budget.take("chat.update", 3, 60)
        env.clock.advance(10)

    assert [await budget.take("chat.update", limit, 60) for limit in (3, 2)] == [30.0, 40.0]
    assert await budget.take("usergroups.users.list", 1, 60) == 0.0


async def test_call_after_others_waits_until_one_more_leaves_the_window(env: Stores) -> None:
    budget = CallBudget(env.database, env.clock)
    for _ in range(3):
        await budget.take("chat.update", 3, 60)
        env.clock.advance(10)

    waits = [await budget.take("chat.update", 3, 60, ahead) for ahead in range(5)]
    assert waits == [30.0, 40.0, 50.0, 90.0, 100.0]


async def test_reads_that_arrive_late_stay_within_slacks_20_a_minute(env: Stores) -> None:
    budget, arrivals = CallBudget(env.database, env.clock), list[int]()
    for second in range(100):
        if not await budget.take("usergroups.users.list", MAX_GROUP_READS, GROUP_READS_WINDOW):
            arrivals.append(second + 12 * (second < 60))  # a timeout of the database and of Slack
        env.clock.advance(1)

    assert max(sum(at <= each < at + 60 for each in arrivals) for at in arrivals) == 20


async def test_paused_method_is_called_by_no_replica(env: Stores) -> None:
    replicas = [CallBudget(env.database, env.clock) for _ in range(2)]
    for seconds in (5, 30, 1):
        await replicas[seconds % 2].pause("chat.postMessage", seconds)
    env.clock.advance(10)

    assert [await each.paused("chat.postMessage") for each in replicas] == [20.0, 20.0]
    assert await replicas[0].take("chat.postMessage", 1, 60) == 20.0
    assert await replicas[1].take("chat.update", 1, 60) == 0.0
    env.clock.advance(20)
    assert await replicas[1].paused("chat.postMessage") == 0.0


async def test_calls_from_before_the_clock_was_set_back_do_not_count(env: Stores) -> None:
    budget = CallBudget(env.database, env.clock)
    await budget.take("chat.update", 1, 60)
    await budget.pause("chat.update", 60)
    env.clock.advance(-3600)

    assert await budget.take("chat.update", 1, 60) == 0.0
    await budget.pause("chat.update", 5)
    assert await budget.take("chat.update", 1, 60) == 5.0
