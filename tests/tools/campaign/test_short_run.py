"""A short run with faults and a fixed seed, without violations."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.postgres import open_postgres
from tests.tools.campaign import kills
from tests.tools.campaign.environment import Plan
from tests.tools.campaign.options import Options


@pytest.mark.timeout(300)  # the bots keep their real leases here
async def test_short_run_has_no_violation(tmp_path: Path) -> None:
    name = "PostgreSQL, 2 bots, Socket Mode"
    plan = Plan(name=name, mode="socket", replicas=2, people=24, quarantine=False)
    options = Options(seed=20261125, minutes=0.15, requests=12, folder=tmp_path)

    async with open_postgres() as postgres:
        result = await kills.part(plan, options, postgres)

    assert result.found == []
    assert len(result.observations.faults) > 2
    assert logging.getLogger("aiohttp.server").level == logging.NOTSET  # restored
