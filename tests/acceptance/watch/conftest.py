"""Fixtures: the fake servers, without a bot yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.watch.environment import WatchEnvironment, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[WatchEnvironment]:
    async with opened(tmp_path) as env:
        yield env
