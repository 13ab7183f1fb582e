"""The demo plays its scenarios in the terminal, with the real bot between the fake servers."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from bot.demo.scenarios import MENU
from tests.support.process import surroundings

#: Seconds for all scenarios on a busy machine; most of them are those of auto-cancel.
TIMEOUT = 110.0


async def test_script_plays_every_scenario_of_the_menu_to_one_confirmed_cancellation(
    tmp_path: Path,
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "bot", "demo", "--script", "--all"),
        env=surroundings(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out = (await asyncio.wait_for(process.communicate(), TIMEOUT))[0].decode()

    titles = [scenario.title for scenarios in MENU.values() for scenario in scenarios]
    assert process.returncode == 0, out
    assert re.findall("^━━ (.+)$", out, re.MULTILINE) == titles
    assert out.count("In Atlas the job is cancelled; DELETEs sent: 1.") == len(titles)
