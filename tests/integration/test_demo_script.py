"""The play of the demo: what it prints is what people would do, and no more."""

from __future__ import annotations

import io

import pytest

from bot.demo.script import play_script


@pytest.mark.parametrize(("approvals", "clicks"), [(0, []), (1, ["Ada"]), (2, ["Ada", "Abe"])])
async def test_nobody_approves_what_has_its_approvals(approvals: int, clicks: list[str]) -> None:
    out = io.StringIO()
    await play_script(out, approvals=approvals)
    scenes = [line for line in out.getvalue().splitlines() if "clicks “Approve”" in line]

    assert [line.split()[1] for line in scenes] == clicks
