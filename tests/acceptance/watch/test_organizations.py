"""The projects of an organization: found, watched, removed; a failing one delays no other."""

import pytest

from bot.app import Bot
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, Fault, Kind
from bot.sandbox.atlas.world import Project
from tests.acceptance.watch.environment import TIMEOUT, WatchEnvironment
from tests.support.polling import wait_until

TABLE = """
[[organizations]]
public_key_env = "ORG_KEY"
private_key_env = "ORG_SECRET"
exclude = ["*-sandbox"]
"""


async def start(env: WatchEnvironment, **environ: str) -> Bot:
    file = env.folder / "projects.toml"
    file.write_text(TABLE, "utf-8")
    given = {"BOT_PROJECTS_FILE": str(file), "ORG_KEY": PUBLIC_KEY, "ORG_SECRET": PRIVATE_KEY}
    return await env.start_bot(**given, **environ)


def add_project(env: WatchEnvironment, name: str) -> Project:
    world = env.atlas.world
    project = world.add_project(name)
    world.add_cluster(project, f"cluster-of-{name.replace(' ', '-')}")
    roles = world.keys[PUBLIC_KEY].roles
    roles[project.id] = roles[PROJECT_ID]
    return project


def start_download(env: WatchEnvironment, project: Project) -> str:
    (cluster,) = project.clusters.values()
    return env.atlas.world.add_job(cluster).id


async def test_selected_projects_are_watched_and_excluded_ones_are_not(
    env: WatchEnvironment,
) -> None:
    lab, sandbox = add_project(env, "shop lab"), add_project(env, "shop-sandbox")
    await start(env)

    await env.wait_for_announcement(start_download(env, lab))

    assert not [call for call in env.atlas.calls if sandbox.id in call.path]


@pytest.mark.usefixtures("short_retries")
async def test_bot_starts_without_the_list_and_finds_the_projects_later(
    env: WatchEnvironment,
) -> None:
    lab = add_project(env, "lab")
    env.atlas.faults.add(Fault(kind=Kind.ERROR, code="UNEXPECTED_ERROR", path="/groups?", times=12))
    await start(env)

    await env.wait_for_announcement(start_download(env, lab), seconds=60)


async def test_watch_begins_and_ends_with_the_channel_that_a_reload_gives_an_organization(
    env: WatchEnvironment,
) -> None:
    lab, file = add_project(env, "lab"), env.folder / "projects.toml"
    bot = await start(env, BOT_WATCH_CHANNEL="")
    await wait_for_lists(env)
    assert not env.cluster_reads()

    file.write_text(f'{TABLE}watch_channel = "{env.channel}"\n', "utf-8")
    await wait_until(lambda: env.cluster_reads("cluster-of-lab"), TIMEOUT)
    await env.wait_for_announcement(start_download(env, lab))

    file.write_text(TABLE, "utf-8")
    await wait_until(lambda: b"last_success_timestamp_seconds{" not in bot.metrics.render())
    unseen, before = start_download(env, lab), len(env.cluster_reads())
    await wait_for_lists(env)
    assert unseen not in env.announcements()
    assert len(env.cluster_reads()) == before
    assert b"dropped_posts_total 0.0" in bot.metrics.render()


async def wait_for_lists(env: WatchEnvironment) -> None:
    """Wait for two further reads of the list of projects."""

    def lists() -> int:
        return sum("/groups?" in call.path for call in env.atlas.calls)

    before = lists()
    await wait_until(lambda: lists() >= before + 2, TIMEOUT)
