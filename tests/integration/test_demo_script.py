"""The demo as a program: its JSON line, and its scenarios in the terminal."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import httpx

from bot.demo.scenarios import MENU
from tests.support.process import running_demo, surroundings

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


async def test_atlas_of_the_json_line_has_downloads_that_the_documented_call_cancels() -> None:
    async with running_demo("--json") as (process, line):
        async with httpx.AsyncClient(
            base_url=f"{line['atlas']}/api/atlas/v1.0/groups/{line['project_id']}",
            auth=httpx.DigestAuth(line["public_key"], line["private_key"]),
            headers={"Accept": "application/json"},
            params={"pretty": "true", "envelope": "true"},
            trust_env=False,
        ) as client:
            clusters = [each["name"] for each in (await client.get("/clusters")).json()["results"]]
            paths = [f"/clusters/{name}/backup/restoreJobs" for name in clusters]
            running = [
                f"{path}/{job['id']}"
                for path in paths
                for job in (await client.get(path)).json()["results"]
                if job["deliveryType"] == "download"
                and not (job["cancelled"] or job["expired"] or job["failed"])
            ]
            answer = (await client.delete(running[0])).json()
            after = (await client.get(running[0])).json()
            page = await client.get(line["page"])
        process.terminate()
        code = await process.wait()

    keys = ("page", "slack_api", "atlas", "project_id", "public_key", "private_key")
    assert set(line) == set(keys)
    assert (len(clusters) > 1, len(running) >= 3) == (True, True)
    assert (answer, after["content"]["cancelled"]) == ({"status": 204}, True)
    assert (page.status_code, code) == (200, 0)
