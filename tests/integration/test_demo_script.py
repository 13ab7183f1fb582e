"""The play of the demo: what it prints is what people would do, and no more."""

from __future__ import annotations

import io

import pytest

from bot.demo.script import play_script
from bot.sandbox.atlas import PROJECT_ID


@pytest.mark.parametrize(("approvals", "clicks"), [(0, []), (1, ["Ada"]), (2, ["Ada", "Abe"])])
async def test_nobody_approves_what_has_its_approvals(approvals: int, clicks: list[str]) -> None:
    out = io.StringIO()
    await play_script(out, approvals=approvals)
    scenes = [line for line in out.getvalue().splitlines() if "clicks “Approve”" in line]

    assert [line.split()[1] for line in scenes] == clicks


async def test_people_read_the_projects_name_from_the_first_line_on() -> None:
    """A newcomer's first look should not be at ids."""
    out = io.StringIO()
    await play_script(out)
    seen = [line for line in out.getvalue().splitlines() if "│" in line]

    assert any("shop-prod" in line for line in seen)
    assert not any(PROJECT_ID in line for line in seen)
