"""The watch over restarts, replicas and outages: each job is announced exactly once."""

from itertools import pairwise

import pytest

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.watch.environment import INTERVAL, WatchEnvironment, settled
from tests.support.polling import wait_until

#: Seconds after an outage until everything must be known: the longest retry pause, and reads.
RECOVERY_TIMEOUT = 40.0

OUTAGES = {
    "cut": (Fault(kind=Kind.RESET_BEFORE, times=None, on="any"),),
    "unavailable": (Fault(kind=Kind.STATUS, status=503, retry_after=1, times=None),),
    "nonsense": (Fault(kind=Kind.HTML, method="GET", times=None),),
    "hangs": (Fault(kind=Kind.HANG, times=6),),
}


def announced_once(env: WatchEnvironment) -> bool:
    return {len(messages) for messages in env.announcements().values()} == {1}


async def test_restart_announces_nothing_twice(env: WatchEnvironment) -> None:
    first = await env.start_bot()
    await settled(env)
    await env.stop_bot(first)
    await env.start_bot()
    await env.wait_for_reads()
    new = env.new_job_id()
    await env.wait_for_announcement(new)

    assert len(env.announcements()) == 8
    assert announced_once(env)


async def test_changes_while_the_bot_is_stopped_are_announced(env: WatchEnvironment) -> None:
    first = await env.start_bot()
    open_job = env.new_job_id()
    await env.wait_for_announcement(open_job)
    await env.stop_bot(first)
    running, gone = env.new_job_id(), env.new_job_id()
    env.atlas.world.job(gone).expire()
    env.atlas.world.job(open_job).fail()
    await env.start_bot()

    await env.wait_for_announcement(running, "in_progress")
    await env.wait_for_announcement(gone, "expired")
    await env.wait_for_announcement(open_job, "failed")


async def test_one_replica_watches_and_the_other_takes_over(env: WatchEnvironment) -> None:
    first, _second = await env.start_bot(), await env.start_bot()
    await settled(env)
    before = len(env.cluster_reads("prod-eu"))
    await env.wait_for_reads(6)
    times = [call.at for call in env.cluster_reads("prod-eu")[before:]]
    assert (times[-1] - times[0]).total_seconds() > 0.6 * INTERVAL * (len(times) - 1)
    shared = env.new_job_id()
    await env.wait_for_announcement(shared)
    await env.stop_bot(first)

    await env.wait_for_announcement(env.new_job_id())
    assert len(env.announcements()) == 9
    assert announced_once(env)


@pytest.mark.parametrize("outage", sorted(OUTAGES))
async def test_jobs_of_an_outage_of_atlas_are_announced_once_each(
    env: WatchEnvironment, outage: str
) -> None:
    await env.start_bot()
    await settled(env)
    env.atlas.faults.add(*OUTAGES[outage])
    calls = len(env.atlas.calls)
    running, gone = env.new_job_id(), env.new_job_id("prod-us")
    await wait_until(lambda: len(env.atlas.calls) > calls + 3 or outage == "hangs")
    env.atlas.world.job(gone).expire()
    env.atlas.faults.clear()

    await env.wait_for_announcement(running, "in_progress", RECOVERY_TIMEOUT)
    await env.wait_for_announcement(gone, "expired", RECOVERY_TIMEOUT)
    assert len(env.announcements()) == 9
    assert announced_once(env)


async def test_response_429_pauses_the_whole_project(env: WatchEnvironment) -> None:
    await env.start_bot()
    await settled(env)
    limited = Fault(kind=Kind.STATUS, status=429, retry_after=1, path="/backup/", times=None)
    env.atlas.faults.add(limited)
    await wait_until(lambda: any(call.status == 429 for call in env.cluster_reads()))
    job = env.new_job_id()
    env.atlas.faults.clear()
    await env.wait_for_announcement(job)

    assert len([call for call in env.cluster_reads() if call.status == 429]) <= 4
    times = [call.at for call in env.cluster_reads()]
    # Calls that were under way when the first 429 came end after it.
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert max(pauses) >= 0.9


async def test_watch_leaves_half_of_the_rate_limit(env: WatchEnvironment) -> None:
    """With a bucket that hardly fills up again the watch stops at half of it."""
    env.atlas.behaviour.rate_capacity = 100
    env.atlas.behaviour.rate_refill = 1
    env.atlas.behaviour.rate_seconds = 60
    await env.start_bot()
    await wait_until(lambda: len(env.cluster_reads()) >= 30)

    with pytest.raises(TimeoutError):
        await wait_until(lambda: len(env.cluster_reads()) > 40, 2.0)


async def test_watch_stops_quickly_while_atlas_hangs(env: WatchEnvironment) -> None:
    env.atlas.faults.add(Fault(kind=Kind.HANG, path="/backup/", times=None))
    bot = await env.start_bot()
    await wait_until(lambda: env.atlas.calls)

    await env.stop_bot(bot)
