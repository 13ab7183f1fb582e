"""What the active process asks its lease, and what it stops."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.active_process import ActiveProcess
from bot.slack.client import Identity, SlackClient, new_session
from bot.slack.directory import Directory
from bot.slack.links import Links
from bot.storage.migrate import create_tables
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
    return ActiveProcess(core, core.settings.slack)


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
    await core.lease.take()
    during = (context.is_active(), outbox.is_active())
    await core.lease.release()
    after = (context.is_active(), outbox.is_active())
    await session.close()

    assert (before, during, after) == ((False, False), (True, True), (False, False))


async def test_stop_stops_the_runs(core: Core) -> None:
    process = active_process(core)

    await process._stop()

    assert process.runner.is_stopping
