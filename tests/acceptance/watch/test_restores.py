"""Restores into other projects: announced once each, over a reload, a restart and replicas."""

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from bot.sandbox.atlas import PROJECT_ID
from bot.sandbox.atlas.clock import wall_clock
from bot.sandbox.atlas.jobs import DeliveryType, RestoreJob
from tests.acceptance.watch.environment import TIMEOUT, WatchEnvironment, buttons, settled
from tests.support.polling import wait_until
from tests.support.process import invoke

TABLE = f'[[projects]]\nname = "shop"\nid = "{PROJECT_ID}"\n'


def start_restore(
    env: WatchEnvironment, *, project: str = "lab", kind: DeliveryType = DeliveryType.AUTOMATED
) -> RestoreJob:
    """Start a restore of prod-eu into a cluster of another project, or of its own."""
    projects = {each.name: each for each in env.atlas.world.projects.values()}
    lab = projects.get("lab") or env.atlas.world.add_project("lab")
    if "copy-eu" not in lab.clusters:
        env.atlas.world.add_cluster(lab, "copy-eu")
    target = lab.clusters["copy-eu"] if project == "lab" else None
    return env.start_job(delivery_type=kind, target=target)


async def recorded(env: WatchEnvironment) -> list[dict[str, Any]]:
    """Stop all bots, and return the events of restores on record."""
    for bot in [*env.bots]:
        await env.stop_bot(bot)
    url = f"sqlite:///{env.folder / 'bot.db'}"
    ran = await invoke("audit", "--event", "restore:seen", "--format", "jsonl", DATABASE_URL=url)
    assert (ran.code, ran.err) == (0, "")
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.mark.parametrize("version", ["v2", "v1.0"])
async def test_restore_is_announced_once_over_a_reload_a_restart_and_two_replicas(
    env: WatchEnvironment, version: str
) -> None:
    file = env.folder / "projects.toml"
    file.write_text(TABLE, "utf-8")
    env.environ = {
        "BOT_PROJECTS_FILE": str(file),
        "MONGODB_ATLAS_PROJECT_ID": "",
        "MONGODB_ATLAS_API_VERSION": version,
        "MONGODB_ATLAS_ENVELOPE": str(version == "v1.0").lower(),
    }
    early = start_restore(env)
    first = await env.start_bot()
    await settled(env)
    before_reload = start_restore(env)
    await env.wait_for_reads()
    file.write_text(f"{TABLE}watch_restores = true\n", "utf-8")
    await wait_until(lambda: has_read_restores(env), TIMEOUT)

    running = start_restore(env)
    message = await env.wait_for_announcement(running.id, "in_progress")
    text = env.slack.state.text_of(message)
    assert buttons(message) == []
    for part in ("into another project", "prod-eu", "shop", "copy-eu", "no way to cancel"):
        assert part in text
    await env.stop_bot(first)
    running.finish(wall_clock())
    missed = start_restore(env, kind=DeliveryType.POINT_IN_TIME)
    missed.finish(wall_clock())
    await env.start_bot()
    await env.start_bot()
    await env.wait_for_announcement(running.id, "finished")
    ended = await env.wait_for_announcement(missed.id, "finished")
    assert "was restored into another project" in env.slack.state.text_of(ended)
    within = start_restore(env, project="shop")
    last = start_restore(env)
    await env.wait_for_announcement(last.id)
    await env.slack.until(
        lambda: "dana@" in env.slack.state.text_of(env.announcements()[last.id][0]), TIMEOUT
    )

    silent = {early.id, before_reload.id, within.id}
    assert silent.isdisjoint(env.announcements())
    events = await recorded(env)
    assert [each["job"] for each in events] == [running.id, missed.id, last.id]
    assert {each["target_cluster"] for each in events} == {"copy-eu"}
    assert not [call for call in env.atlas.calls if running.id in call.path]


def has_read_restores(env: WatchEnvironment) -> bool:
    """Whether prod-eu was read since restores are watched."""
    read = "SELECT restores_read_at FROM watched_clusters WHERE cluster_name = 'prod-eu'"
    with closing(sqlite3.connect(env.folder / "bot.db")) as db:
        return db.execute(read).fetchone() not in (None, (None,))
