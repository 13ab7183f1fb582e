"""Fixtures: a running bot between the fake servers, as a person would have set it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.environment import BotEnvironment, open_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[BotEnvironment]:
    """Socket Mode, digest key, API v2, no approvals: the defaults."""
    async with open_environment(tmp_path) as opened:
        yield opened
