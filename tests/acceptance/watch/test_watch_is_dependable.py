"""The watch over restarts, replicas and outages: each job is announced exactly once."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bot.sandbox.atlas import PROJECT_ID, Fault, Kind
from tests.acceptance.watch.station import INTERVAL, SOON, Station, until

#: Seconds after an outage in which everything must be known: the longest retry pause, and looks.
AFTERWARDS = 40.0

OUTAGES = {
    "cut": (Fault(kind=Kind.RESET_BEFORE, times=None, on="any"),),
    "unavailable": (Fault(kind=Kind.STATUS, status=503, retry_after=1, times=None),),
    "nonsense": (Fault(kind=Kind.HTML, method="GET", times=None),),
    "hangs": (Fault(kind=Kind.HANG, times=6),),
}


def announced_once(station: Station) -> bool:
    return {len(messages) for messages in station.announced().values()} == {1}


async def settled(station: Station) -> None:
    """Wait until the first round is announced: seven jobs of the example world."""
    await station.slack.until(lambda: len(station.announced()) == 7, SOON)


async def test_nothing_is_announced_twice_after_a_restart(station: Station) -> None:
    first = await station.starts()
    await settled(station)
    await station.stops(first)
    await station.starts()
    await station.looks_again()
    new = station.new_job()
    await station.hears_of(new)

    assert len(station.announced()) == 8
    assert announced_once(station)


async def test_what_came_and_what_ended_while_nobody_watched_is_told(station: Station) -> None:
    first = await station.starts()
    open_job = station.new_job()
    await station.hears_of(open_job)
    await station.stops(first)
    running, gone = station.new_job(), station.new_job()
    station.atlas.world.job(gone).expire()
    station.atlas.world.job(open_job).fail()
    await station.starts()

    await station.hears_of(running, "in_progress")
    await station.hears_of(gone, "expired")
    await station.hears_of(open_job, "failed")


async def test_of_two_replicas_one_looks_and_the_other_takes_over(station: Station) -> None:
    first, _second = await station.starts(), await station.starts()
    await settled(station)
    before = len(station.looks("prod-eu"))
    await station.looks_again(4)
    times = [call.at for call in station.looks("prod-eu")[before:]]
    assert min((b - a).total_seconds() for a, b in pairwise(times)) > INTERVAL / 2
    shared = station.new_job()
    await station.hears_of(shared)
    await station.stops(first)

    await station.hears_of(station.new_job())
    assert len(station.announced()) == 9
    assert announced_once(station)


@pytest.mark.parametrize("outage", sorted(OUTAGES))
async def test_an_outage_of_atlas_delays_and_neither_loses_nor_doubles(
    station: Station, outage: str
) -> None:
    await station.starts()
    await settled(station)
    station.atlas.faults.add(*OUTAGES[outage])
    calls = len(station.atlas.calls)
    running, gone = station.new_job(), station.new_job("prod-us")
    await until(lambda: len(station.atlas.calls) > calls + 3 or outage == "hangs")
    station.atlas.world.job(gone).expire()
    station.atlas.faults.clear()

    await station.hears_of(running, "in_progress", AFTERWARDS)
    await station.hears_of(gone, "expired", AFTERWARDS)
    assert len(station.announced()) == 9
    assert announced_once(station)


async def test_a_429_lets_the_whole_project_rest(station: Station) -> None:
    await station.starts()
    await settled(station)
    limited = Fault(kind=Kind.STATUS, status=429, retry_after=1, path="/backup/", times=None)
    station.atlas.faults.add(limited)
    refused = len([call for call in station.looks() if call.status == 429])
    await until(lambda: any(call.status == 429 for call in station.looks()))
    job = station.new_job()
    station.atlas.faults.clear()
    await station.hears_of(job)

    assert refused == 0
    assert len([call for call in station.looks() if call.status == 429]) <= 4
    last = max(call.at for call in station.looks() if call.status == 429)
    after = min(call.at for call in station.looks() if call.at > last)
    assert (after - last).total_seconds() >= 0.9


async def test_looks_at_many_clusters_are_spread_and_few_at_once(station: Station) -> None:
    project = station.atlas.world.projects[PROJECT_ID]
    for number in range(26):
        station.atlas.world.add_cluster(project, f"many-{number:02d}")
    await station.starts(BOT_WATCH_INTERVAL="3")
    await settled(station)
    await station.looks_again(1)

    times = [call.at for call in station.looks()]
    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    assert len(times) <= 70  # two rounds of thirty, and what a slow machine adds
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(0.1, abs=0.05)


async def test_the_bucket_is_left_to_people(station: Station) -> None:
    """With a bucket that hardly fills up again the watch stops at half of it."""
    station.atlas.behaviour.rate_capacity = 100
    station.atlas.behaviour.rate_refill = 1
    station.atlas.behaviour.rate_seconds = 60
    await station.starts()
    await until(lambda: len(station.looks()) >= 30)

    with pytest.raises(TimeoutError):
        await until(lambda: len(station.looks()) > 40, 2.0)


async def test_the_end_is_quick_while_atlas_hangs(station: Station) -> None:
    station.atlas.faults.add(Fault(kind=Kind.HANG, path="/backup/", times=None))
    bot = await station.starts()
    await until(lambda: station.atlas.calls)

    await station.stops(bot)
