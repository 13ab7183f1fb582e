"""All obstacles to a start are reported together; a cancelled start leaves no task."""

import asyncio
import contextlib
import gc
import socket
import time
import warnings
from pathlib import Path

import pytest

from bot.app import Bot
from bot.atlas import AtlasUnavailable
from bot.atlas.models import Project as AtlasProject
from bot.cancellation.policy import Policies
from bot.services.projects import Project, Projects
from bot.startup_checks import SLACK_DOES_NOT_ANSWER, StartError, load_project_names, run_steps
from tests.support.domain import PROJECT_ID
from tests.support.fake_atlas import FakeAtlas
from tests.support.settings import load


async def in_good_order() -> None:
    """A step that succeeds."""


async def test_all_steps_run_and_each_failure_is_reported() -> None:
    taken: list[str] = []

    async def refused(why: str) -> None:
        taken.append(why)
        raise StartError(why)

    why = await run_steps(lambda: refused("no port"), in_good_order, lambda: refused("no token"))

    assert why == taken == ["no port", "no token"]


async def test_cancelled_start_leaves_no_unawaited_coroutine() -> None:
    """Otherwise Python warns about a coroutine that was never awaited."""
    waiting = asyncio.Event()
    with warnings.catch_warnings(record=True) as caught:
        start = asyncio.create_task(run_steps(waiting.wait, in_good_order))
        await asyncio.sleep(0)
        start.cancel()
        await asyncio.gather(start, return_exceptions=True)
        gc.collect()

    assert start.cancelled()
    assert caught == []


class SilentAtlas(FakeAtlas):
    async def project(self, project_id: str) -> AtlasProject:
        raise AtlasUnavailable


async def test_command_does_not_wait_for_the_name_of_a_project_that_cannot_be_read() -> None:
    projects = Projects(
        [Project(id=PROJECT_ID, name=PROJECT_ID, policies=Policies(), atlas=SilentAtlas({}))]
    )
    async with asyncio.timeout(20):
        await load_project_names(projects, once=projects.all)

    assert projects.all[0].name == PROJECT_ID


class NamedAtlas(FakeAtlas):
    async def project(self, project_id: str) -> AtlasProject:
        return AtlasProject(id=project_id, name="Shop Prod")


async def test_start_reads_the_name_in_atlas_of_a_project_that_the_settings_name() -> None:
    projects = Projects(
        [Project(id=PROJECT_ID, name="shop", policies=Policies(), atlas=NamedAtlas({}))]
    )
    await load_project_names(projects)

    assert [(each.name, each.atlas_name) for each in projects.all] == [("shop", "Shop Prod")]


async def test_wrong_host_and_database_are_reported_while_slack_does_not_answer(
    tmp_path: Path,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))  # never accepts
        settings = load(
            tmp_path,
            SLACK_API_URL=f"http://127.0.0.1:{silent.getsockname()[1]}/api/",
            DATABASE_URL=f"sqlite:///{tmp_path}/nowhere/bot.db",
            HOST="192.0.2.1",
        )
        bot = Bot(settings)
        stack.push_async_callback(bot.stop)
        began = time.monotonic()
        with pytest.raises(StartError) as raised:
            await bot.start()
        seconds = time.monotonic() - began

    database, host, slack = str(raised.value).splitlines()
    assert database.startswith("The database cannot be opened")
    assert host.startswith("Cannot listen on 192.0.2.1")
    assert slack == SLACK_DOES_NOT_ANSWER
    assert seconds < 8
