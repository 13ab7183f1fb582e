"""Fixtures: the stand-ins, and nobody who watches yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.watch.station import Station, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    async with opened(tmp_path) as station:
        yield station
