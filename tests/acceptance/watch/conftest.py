"""Fixtures: the fake servers, without a bot yet."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.watch.environment import WatchEnvironment, opened


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[WatchEnvironment]:
    async with opened(tmp_path) as env:
        yield env
