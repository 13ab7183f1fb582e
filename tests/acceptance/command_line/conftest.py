"""The stand-ins, and the settings of commands between them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.command_line.commands import Environ
from tests.support.environ import bot_environ


@pytest.fixture
async def atlas() -> AsyncIterator[FakeAtlasServer]:
    async with FakeAtlasServer() as atlas:
        yield atlas


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlackServer]:
    async with FakeSlackServer() as slack:
        yield slack


@pytest.fixture
def with_slack(slack: FakeSlackServer, atlas: FakeAtlasServer, tmp_path: Path) -> Environ:
    environ = bot_environ(slack, atlas, f"sqlite:///{tmp_path}/bot.db")
    return environ | {"BOT_CHANNEL": "C0OPS00001"}


@pytest.fixture
def environ(with_slack: Environ) -> Environ:
    """The settings of a command, without those of Slack."""
    return {name: value for name, value in with_slack.items() if not name.startswith("SLACK_")}
