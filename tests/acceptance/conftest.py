"""Fixtures: a running bot between the fake servers, as a person would have set it up."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.atlas import reader
from bot.slack import channels
from tests.acceptance import oracle
from tests.acceptance.environment import OPENED, BotEnvironment, open_environment
from tests.support.timings import DATABASE_TIMEOUT


@pytest.fixture(autouse=True)
async def rules_hold() -> AsyncIterator[None]:
    """Check the rules of the campaigns after each test."""
    OPENED.clear()
    yield
    assert [each for env in OPENED for each in await oracle.violations(env)] == []


@pytest.fixture(autouse=True)
def _slow_slack_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may not answer about a channel in two seconds: a card would go elsewhere."""
    monkeypatch.setattr(channels, "LOOKUP_TIMEOUT", DATABASE_TIMEOUT)


@pytest.fixture
def short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reads of Atlas that fail be repeated soon: ten attempts take less than a second."""
    monkeypatch.setattr(reader, "FIRST_BACKOFF", 0.02)
    monkeypatch.setattr(reader, "LONGEST_BACKOFF", 0.1)


@pytest.fixture
def single_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let reads of Atlas that fail be tried once: the pause would exceed their time limit."""
    monkeypatch.setattr(reader, "FIRST_BACKOFF", 1000.0)
    monkeypatch.setattr(reader, "LONGEST_BACKOFF", 1000.0)


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[BotEnvironment]:
    """Socket Mode, digest key, API v2, no approvals: the defaults."""
    async with open_environment(tmp_path) as opened:
        yield opened
