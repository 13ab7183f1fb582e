"""The watch over restarts, replicas and outages: each job is announced exactly once."""

import asyncio

from bot.app import Bot
from bot.sandbox.atlas import PROJECT_ID, Fault, Kind
from tests.acceptance.watch.environment import INTERVAL, WatchEnvironment, settled
from tests.support.polling import wait_until


def is_watched(bot: Bot) -> bool:
    return bot._services.projects.get(PROJECT_ID).is_watched


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


async def test_watch_that_a_reload_ends_and_begins_again_takes_no_download_for_new(
    env: WatchEnvironment,
) -> None:
    """The replica begins it that leads by then."""
    file = env.folder / "projects.toml"
    table = (
        f'[[projects]]\nname = "shop"\nid = "{PROJECT_ID}"\n'
        'public_key_env = "MONGODB_ATLAS_PUBLIC_API_KEY"\n'
        'private_key_env = "MONGODB_ATLAS_PRIVATE_API_KEY"\n'
    )
    watched = f'{table}watch_channel = "{env.channel}"\n'
    file.write_text(watched)
    env.environ = {"MONGODB_ATLAS_PROJECT_ID": "", "BOT_WATCH_CHANNEL": ""}
    env.environ["BOT_PROJECTS_FILE"] = str(file)
    first, second = await env.start_bot(), await env.start_bot()
    await settled(env)
    file.write_text(table)
    await wait_until(lambda: not any(is_watched(bot) for bot in (first, second)))
    await asyncio.sleep(4 * INTERVAL)  # what was read by then counts as watched
    during = env.new_job_id()
    await env.stop_bot(first)
    file.write_text(watched)

    running = await env.wait_for_announcement(during)
    new = await env.wait_for_announcement(env.new_job_id())
    assert ["already running" in message["text"] for message in (running, new)] == [True, False]
    assert announced_once(env)


async def test_watch_stops_quickly_while_atlas_hangs(env: WatchEnvironment) -> None:
    env.atlas.faults.add(Fault(kind=Kind.HANG, path="/backup/", times=None))
    bot = await env.start_bot()
    await wait_until(lambda: env.atlas.calls)

    await env.stop_bot(bot)
