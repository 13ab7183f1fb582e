"""What the active process asks its lease, what it stops, and from when on downloads are new."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from bot.active_process import ActiveProcess
from bot.slack.client import Identity, SlackClient, new_session
from bot.slack.directory import Directory
from bot.slack.links import Links
from bot.storage.download_rows import watch_start
from bot.storage.migrate import create_tables
from bot.storage.unit_of_work import UnitOfWork
from bot.tasks import cancel_and_wait
from bot.wiring import Core
from tests.support.settings import load


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    core = Core(load(DATABASE_URL=f"sqlite:///{tmp_path}/bot.db"))
    await core.database.write(create_tables)
    yield core
    await core.close()


def active_process(core: Core) -> ActiveProcess:
    assert core.settings.slack is not None
    return ActiveProcess(core, core.settings.slack, core.new_lease())


async def test_listeners_and_outbox_are_active_only_while_the_lease_is_held(core: Core) -> None:
    process, session = active_process(core), new_session()
    client = SlackClient("xoxb-1", "https://slack.example/api/", session)
    identity = Identity(team="T0ACME", user="U0BOT")
    context = process._context(
        client, identity, Directory(client, identity), Links("https://cloud.example")
    )
    process._loops_with_slack(client, identity)
    outbox = process._outbox
    assert outbox is not None

    before = (context.is_active(), outbox.is_active())
    await process._lease.take()
    during = (context.is_active(), outbox.is_active())
    await process._lease.release()
    after = (context.is_active(), outbox.is_active())
    await session.close()

    assert (before, during, after) == ((False, False), (True, True), (False, False))


async def test_stop_stops_the_runs(core: Core) -> None:
    process = active_process(core)

    await process._stop()

    assert process.runner.is_stopping


async def test_downloads_are_new_from_the_start_of_the_process_on(core: Core) -> None:
    process = active_process(core)
    await process._lease.take()
    ready = core.now()
    await asyncio.sleep(0.01)  # for which a busy database may let the watch wait
    project = next(iter(core.projects)).id
    watching = asyncio.create_task(process._watch(project))

    started = await stored_start(core, project)

    await cancel_and_wait(watching)
    assert started <= ready


async def stored_start(core: Core, project: str) -> datetime:
    """Wait until the start of a watch is stored."""
    async with asyncio.timeout(20):
        while True:
            if moment := await core.database.read(
                lambda db: watch_start(UnitOfWork(db, core.now()), project)
            ):
                return moment
            await asyncio.sleep(0.005)
