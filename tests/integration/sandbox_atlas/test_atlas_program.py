"""The fake Atlas as a program, its start and stop."""

import asyncio
import json
import signal
import sys
from datetime import UTC, datetime, timedelta

import httpx

from bot.atlas import created_at
from bot.sandbox.atlas import FakeAtlasServer, ManualClock
from tests.integration.sandbox_atlas.conftest import GROUP, V2

PROGRAM = (sys.executable, "-P", "-m", "bot.sandbox.atlas")


async def test_standalone_server_prints_its_url_and_ends_at_sigterm() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "--fault", "maintenance", stdout=pipe, stderr=pipe
    )
    assert process.stdout is not None
    about = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    async with httpx.AsyncClient(trust_env=False) as http:
        faults = (await http.get(f"{about['atlas']}/_sandbox/faults")).json()
        world = (await http.get(f"{about['atlas']}/_sandbox/world")).json()
    process.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(process.communicate(), 20)

    assert about["keys"]["sandboxk"]
    assert faults["active"][0]["code"] == "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES"
    starts = [created_at(job["id"]) for job in world["jobs"]]
    assert min(starts) > datetime.now(UTC) - timedelta(days=2)
    assert (process.returncode, errors) == (0, b"")


async def test_occupied_port_is_reported() -> None:
    async with FakeAtlasServer() as atlas:
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, "--port", str(atlas.port), stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 1
    assert errors.decode().startswith(f"The server cannot listen on port {atlas.port}: ")


async def test_restarted_server_uses_the_same_port(clock: ManualClock) -> None:
    atlas = FakeAtlasServer(clock=clock)
    async with atlas:
        url = atlas.url
    async with atlas, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{url}/api/atlas/v2{GROUP}", headers={"Accept": V2})

    assert atlas.url == url
    assert answer.status_code == 401
