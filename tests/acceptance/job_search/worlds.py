"""Worlds with many clusters, and readers for the tests of searches."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from bot.sandbox.atlas import (
    PRIVATE_KEY,
    PROJECT_ID,
    PUBLIC_KEY,
    Call,
    FakeAtlasServer,
    Fault,
    Kind,
)
from bot.sandbox.atlas.auth.credentials import Role
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.environment import BotEnvironment, open_environment

Json = dict[str, Any]

#: The example world has no job of this id.
NOWHERE = "f" * 24

DEV_SECRET = "dev-secret"
OTHER_ID = "5b6212af90dc76637950a2c7"

PROJECTS = f"""
[[projects]]
name = "shop-prod"
id = "{PROJECT_ID}"
public_key_env = "SHOP_PUBLIC_KEY"
private_key_env = "SHOP_PRIVATE_KEY"

[[projects]]
name = "shop-dev"
id = "{OTHER_ID}"
public_key_env = "DEV_PUBLIC_KEY"
private_key_env = "DEV_PRIVATE_KEY"
"""


def long_name(number: int) -> str:
    """Return a name of 64 characters, the most that Atlas takes."""
    return f"cluster-{number:04}-".ljust(64, "x")


def with_clusters(
    count: int, jobs: Sequence[int] = ()
) -> Callable[[FakeSlackServer, FakeAtlasServer], None]:
    """Put `count` clusters in place of the example's, with a live download in some of them."""

    def before(_slack: FakeSlackServer, atlas: FakeAtlasServer) -> None:
        project = atlas.world.projects[PROJECT_ID]
        project.clusters.clear()
        for number in range(count):
            atlas.world.add_cluster(project, long_name(number))
        for number in jobs:
            atlas.world.add_job(project.clusters[long_name(number)], live=True)

    return before


def with_two_projects(_slack: FakeSlackServer, atlas: FakeAtlasServer) -> None:
    """Add a second project with a cluster and a job of its own, and a key for it."""
    project = atlas.world.add_project("shop-dev", project_id=OTHER_ID)
    atlas.world.add_job(atlas.world.add_cluster(project, "dev-eu"))
    atlas.world.add_job(atlas.world.add_cluster(project, "prod-eu"))
    roles = {Role.RECOVERY_OPERATOR, Role.READ_ONLY}
    atlas.world.add_key("devkey", DEV_SECRET, {OTHER_ID: roles})


def open_two_projects(
    folder: Path, secret: str = DEV_SECRET
) -> AbstractAsyncContextManager[BotEnvironment]:
    """Run a bot with two projects; another secret makes the key of the second one wrong."""
    file = folder / "projects.toml"
    file.write_text(PROJECTS)
    environ: dict[str, str | None] = {
        "BOT_PROJECTS_FILE": str(file),
        "MONGODB_ATLAS_PROJECT_ID": None,
        "MONGODB_ATLAS_PUBLIC_API_KEY": None,
        "MONGODB_ATLAS_PRIVATE_API_KEY": None,
        "SHOP_PUBLIC_KEY": PUBLIC_KEY,
        "SHOP_PRIVATE_KEY": PRIVATE_KEY,
        "DEV_PUBLIC_KEY": "devkey",
        "DEV_PRIVATE_KEY": secret,
    }
    return open_environment(folder, environ, before=with_two_projects)


def job_in(env: BotEnvironment, number: int) -> str:
    """Return the id of the job in the `number`th cluster."""
    clusters = env.atlas.world.projects[PROJECT_ID].clusters
    return next(iter(clusters[long_name(number)].jobs))


def slow(seconds: float, path: str = "/backup/") -> Fault:
    return Fault(kind=Kind.DELAY, seconds=seconds, path=path, times=None)


def backup_calls(calls: Sequence[Call]) -> list[Call]:
    """Return the calls that cost something of the rate limit that a cancel needs."""
    return [call for call in calls if "/backup/" in call.path and not call.challenge]


def left(env: BotEnvironment) -> float:
    """Return the calls that are left in the bucket of the project's backups."""
    return env.atlas.tokens_left(PROJECT_ID)


async def view_with(
    env: BotEnvironment, word: str, user: str = "rina", seconds: float = 20.0
) -> Json:
    """Wait until a person's dialog contains `word`."""

    def shown() -> Json | None:
        view = env.slack.state.view_of(user)
        return view if view and word in env.slack.state.text_of(view) else None

    view = await env.slack.until(shown, seconds)
    assert view is not None
    return view


async def run_privately(
    env: BotEnvironment, text: str, user: str = "rina", seconds: float = 20.0
) -> Json:
    """Type a command and wait for the private answer."""
    before = len(env.slack.state.ephemerals(user))
    ack = await env.send_command(user, text)
    assert ack.ok
    async with asyncio.timeout(seconds):
        await env.slack.until(lambda: len(env.slack.state.ephemerals(user)) > before, seconds)
    return env.slack.state.ephemerals(user)[-1]
