"""The demo plays its script with the real bot between the stand-ins."""

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.support.process import surroundings


async def test_script_of_the_demo_ends_with_a_confirmed_cancellation(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "bot", "demo", "--script"),
        env=surroundings(),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, out.decode()
    assert "In Atlas the job is cancelled" in out.decode()
