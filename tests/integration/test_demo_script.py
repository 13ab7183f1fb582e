"""`cancel-restore demo --script`: the printed steps."""

from __future__ import annotations

import io

import pytest

from bot.demo.script import play_script
from bot.sandbox.atlas import PROJECT_ID


@pytest.mark.parametrize(("approvals", "clicks"), [(0, []), (1, ["Ada"]), (2, ["Ada", "Abe"])])
async def test_script_approves_as_often_as_needed(approvals: int, clicks: list[str]) -> None:
    out = io.StringIO()
    await play_script(out, approvals=approvals)
    steps = [line for line in out.getvalue().splitlines() if "clicks “Approve”" in line]

    assert [line.split()[1] for line in steps] == clicks


async def test_script_shows_the_projects_name_and_never_its_id() -> None:
    out = io.StringIO()
    await play_script(out)
    seen = [line for line in out.getvalue().splitlines() if "│" in line]

    assert any("shop-prod" in line for line in seen)
    assert not any(PROJECT_ID in line for line in seen)
