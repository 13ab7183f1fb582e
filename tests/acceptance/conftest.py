"""Fixtures: a running bot between the stand-ins, as a person would have set it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.house import House, open_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Socket Mode, digest key, API v2, no approvals: the defaults."""
    async with open_house(tmp_path) as opened:
        yield opened
