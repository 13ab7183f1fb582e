"""The watch over restarts, replicas and outages: each job is announced exactly once."""

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.watch.environment import INTERVAL, WatchEnvironment, settled
from tests.support.polling import wait_until


def announced_once(env: WatchEnvironment) -> bool:
    return {len(messages) for messages in env.announcements().values()} == {1}


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


async def test_watch_stops_quickly_while_atlas_hangs(env: WatchEnvironment) -> None:
    env.atlas.faults.add(Fault(kind=Kind.HANG, path="/backup/", times=None))
    bot = await env.start_bot()
    await wait_until(lambda: env.atlas.calls)

    await env.stop_bot(bot)
