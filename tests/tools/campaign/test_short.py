"""A short storm, the same at every run: nothing acknowledged is lost, doubled, or said wrongly."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.tools.campaign import kills
from tests.tools.campaign.options import Options

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(600)  # three houses in turn; a busy machine may take its time to settle
async def test_a_short_storm_leaves_everything_as_it_must_be(tmp_path: Path) -> None:
    options = Options(seed=20261125, minutes=0.4, requests=42, rate=0, folder=tmp_path)

    requests, rules, faults = await kills.run(options)

    assert rules.held, "\n\n".join(each.markdown() for each in (requests, rules, faults))
    counted = {row.name: row.cells[-1] for row in requests.rows}
    assert counted["of them ended"] == counted["requests acknowledged"]
    assert counted["cancelled"] == counted["DELETEs that took effect"]
    # Whoever comes after it in this process hears the server again.
    assert logging.getLogger("aiohttp.server").level == logging.NOTSET
