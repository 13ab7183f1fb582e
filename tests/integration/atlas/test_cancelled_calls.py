"""The connections of cancelled calls are reused."""

import asyncio

import pytest
from pydantic import SecretStr

from bot.atlas import DigestKey, JobRef
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, FakeAtlasServer, Fault, Kind
from tests.support.atlas_client import AtlasClient

KEY = DigestKey(PUBLIC_KEY, SecretStr(PRIVATE_KEY))
JOB = JobRef(project_id=PROJECT_ID, cluster_name="prod-eu", job_id="65f0a1c2d3e4f5a6b7c80101")

#: In place of the connections of a real client, so that few lost ones exhaust them.
CONNECTIONS = 4

#: Loop iterations after which a call is cancelled: from before it is sent to after its end.
ITERATIONS = range(40)


async def cancel_after(client: AtlasClient, iterations: int) -> None:
    call = asyncio.create_task(client.restore_job(JOB))
    for _ in range(iterations):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def test_calls_cancelled_at_any_moment_release_their_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Especially while the end of the answer is read."""
    monkeypatch.setattr("bot.atlas.transport.MAX_CONNECTIONS", CONNECTIONS)
    async with FakeAtlasServer() as atlas, AtlasClient(KEY, base_url=atlas.url) as client:
        await client.restore_job(JOB)
        for _ in range(CONNECTIONS):
            for iterations in ITERATIONS:
                await cancel_after(client, iterations)

        reads = (client.restore_job(JOB, timeout=5.0) for _ in range(CONNECTIONS))
        jobs = await asyncio.gather(*reads)

    assert {job.id for job in jobs} == {JOB.job_id}


async def test_close_does_not_wait_for_a_hanging_call() -> None:
    async with FakeAtlasServer() as atlas:
        client = AtlasClient(KEY, base_url=atlas.url)
        await client.restore_job(JOB)
        atlas.faults.add(Fault(kind=Kind.HANG, times=1))
        call = asyncio.create_task(client.restore_job(JOB))
        await asyncio.sleep(0.05)
        call.cancel()

        async with asyncio.timeout(20):
            await client.aclose()
