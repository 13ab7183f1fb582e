"""The watch over restarts, replicas and outages: each job is announced exactly once."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bot.sandbox.atlas import PROJECT_ID, Fault, Kind
from tests.acceptance.watch.environment import INTERVAL, TIMEOUT, WatchEnvironment, until

#: Seconds after an outage in which everything must be known: the longest retry pause, and looks.
RECOVERY_TIMEOUT = 40.0

OUTAGES = {
    "cut": (Fault(kind=Kind.RESET_BEFORE, times=None, on="any"),),
    "unavailable": (Fault(kind=Kind.STATUS, status=503, retry_after=1, times=None),),
    "nonsense": (Fault(kind=Kind.HTML, method="GET", times=None),),
    "hangs": (Fault(kind=Kind.HANG, times=6),),
}


def announced_once(env: WatchEnvironment) -> bool:
    return {len(messages) for messages in env.announced().values()} == {1}


async def settled(env: WatchEnvironment) -> None:
    """Wait until the first round is announced: seven jobs of the example world."""
    await env.slack.until(lambda: len(env.announced()) == 7, TIMEOUT)


async def test_restart_announces_nothing_twice(env: WatchEnvironment) -> None:
    first = await env.starts()
    await settled(env)
    await env.stops(first)
    await env.starts()
    await env.looks_again()
    new = env.new_job()
    await env.hears_of(new)

    assert len(env.announced()) == 8
    assert announced_once(env)


async def test_changes_while_the_bot_is_stopped_are_announced(env: WatchEnvironment) -> None:
    first = await env.starts()
    open_job = env.new_job()
    await env.hears_of(open_job)
    await env.stops(first)
    running, gone = env.new_job(), env.new_job()
    env.atlas.world.job(gone).expire()
    env.atlas.world.job(open_job).fail()
    await env.starts()

    await env.hears_of(running, "in_progress")
    await env.hears_of(gone, "expired")
    await env.hears_of(open_job, "failed")


async def test_one_replica_watches_and_the_other_takes_over(env: WatchEnvironment) -> None:
    first, _second = await env.starts(), await env.starts()
    await settled(env)
    before = len(env.looks("prod-eu"))
    await env.looks_again(4)
    times = [call.at for call in env.looks("prod-eu")[before:]]
    assert min((b - a).total_seconds() for a, b in pairwise(times)) > INTERVAL / 2
    shared = env.new_job()
    await env.hears_of(shared)
    await env.stops(first)

    await env.hears_of(env.new_job())
    assert len(env.announced()) == 9
    assert announced_once(env)


@pytest.mark.parametrize("outage", sorted(OUTAGES))
async def test_outage_of_atlas_loses_and_doubles_no_announcement(
    env: WatchEnvironment, outage: str
) -> None:
    await env.starts()
    await settled(env)
    env.atlas.faults.add(*OUTAGES[outage])
    calls = len(env.atlas.calls)
    running, gone = env.new_job(), env.new_job("prod-us")
    await until(lambda: len(env.atlas.calls) > calls + 3 or outage == "hangs")
    env.atlas.world.job(gone).expire()
    env.atlas.faults.clear()

    await env.hears_of(running, "in_progress", RECOVERY_TIMEOUT)
    await env.hears_of(gone, "expired", RECOVERY_TIMEOUT)
    assert len(env.announced()) == 9
    assert announced_once(env)


async def test_response_429_pauses_the_whole_project(env: WatchEnvironment) -> None:
    await env.starts()
    await settled(env)
    limited = Fault(kind=Kind.STATUS, status=429, retry_after=1, path="/backup/", times=None)
    env.atlas.faults.add(limited)
    refused = len([call for call in env.looks() if call.status == 429])
    await until(lambda: any(call.status == 429 for call in env.looks()))
    job = env.new_job()
    env.atlas.faults.clear()
    await env.hears_of(job)

    assert refused == 0
    assert len([call for call in env.looks() if call.status == 429]) <= 4
    last = max(call.at for call in env.looks() if call.status == 429)
    after = min(call.at for call in env.looks() if call.at > last)
    assert (after - last).total_seconds() >= 0.9


async def test_reads_of_many_clusters_are_spread_over_the_interval(env: WatchEnvironment) -> None:
    project = env.atlas.world.projects[PROJECT_ID]
    for number in range(26):
        env.atlas.world.add_cluster(project, f"many-{number:02d}")
    await env.starts(BOT_WATCH_INTERVAL="3")
    await settled(env)
    await env.looks_again(1)

    times = [call.at for call in env.looks()]
    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert len(times) <= 70  # two rounds of thirty, and what a slow machine adds
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(0.1, abs=0.05)


async def test_watch_leaves_half_of_the_rate_limit(env: WatchEnvironment) -> None:
    """With a bucket that hardly fills up again the watch stops at half of it."""
    env.atlas.behaviour.rate_capacity = 100
    env.atlas.behaviour.rate_refill = 1
    env.atlas.behaviour.rate_seconds = 60
    await env.starts()
    await until(lambda: len(env.looks()) >= 30)

    with pytest.raises(TimeoutError):
        await until(lambda: len(env.looks()) > 40, 2.0)


async def test_watch_stops_quickly_while_atlas_hangs(env: WatchEnvironment) -> None:
    env.atlas.faults.add(Fault(kind=Kind.HANG, path="/backup/", times=None))
    bot = await env.starts()
    await until(lambda: env.atlas.calls)

    await env.stops(bot)
