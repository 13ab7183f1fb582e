"""Each kind of fault as a client gets it, and whether the DELETE took effect."""

import asyncio
import contextlib

import httpx
import pytest

from bot.sandbox.atlas import PRESETS, FakeAtlasServer, Fault, Kind
from tests.integration.sandbox_atlas.conftest import AtlasEnv, Caller, job_path

JOB = "65f0a1c2d3e4f5a6b7c80101"
RUNNING = job_path("prod-eu", JOB)


async def test_disconnected_client_does_not_stop_a_delayed_cancel(env: AtlasEnv) -> None:
    await env.v2.get(RUNNING)
    env.atlas.faults.add(Fault(kind=Kind.DELAY, seconds=0.2))
    env.v2.http.timeout = httpx.Timeout(0.05)

    with pytest.raises(httpx.ReadTimeout):
        await env.v2.delete(RUNNING)
    for _ in range(100):
        if env.atlas.world.cancellations:
            break
        await asyncio.sleep(0.01)

    assert env.atlas.world.cancellations == [JOB]


@pytest.mark.parametrize(("kind", "cancelled"), [(Kind.HANG, []), (Kind.HANG_AFTER, [JOB])])
async def test_hanging_call_ends_with_the_server(
    env: AtlasEnv, kind: Kind, cancelled: list[str]
) -> None:
    async with FakeAtlasServer(clock=env.clock) as atlas:
        atlas.faults.add(Fault(kind=kind))
        auth = httpx.DigestAuth("sandboxk", atlas.world.keys["sandboxk"].secret)
        async with httpx.AsyncClient(base_url=atlas.url, trust_env=False) as http:
            v2 = Caller(http, "/api/atlas/v2", "application/vnd.atlas.2023-01-01+json", auth)
            call = asyncio.ensure_future(v2.delete(RUNNING))
            async with asyncio.timeout(20):
                while atlas.faults.active or atlas.world.cancellations != cancelled:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0.005)
            assert not call.done()
            await atlas.stop()

            with pytest.raises(httpx.TransportError):
                await call

        assert atlas.world.cancellations == cancelled


async def test_error_can_have_another_status_or_no_code(env: AtlasEnv) -> None:
    env.atlas.faults.add(Fault(kind=Kind.ERROR, code="UNEXPECTED_ERROR", status=404))
    odd = await env.v2.get(RUNNING)
    env.atlas.faults.add(Fault(kind=Kind.ERROR, status=403))
    bare = await env.v2.get(RUNNING)

    assert (odd.status_code, odd.json()["errorCode"]) == (404, "UNEXPECTED_ERROR")
    assert (bare.status_code, bare.json()["error"]) == (403, 403)
    assert "errorCode" not in bare.json()
    assert "X-Error-Code" not in bare.headers


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"slow", "hang"}))
async def test_after_a_preset_is_cleared_calls_succeed(env: AtlasEnv, name: str) -> None:
    env.atlas.faults.preset(name)
    with contextlib.suppress(httpx.TransportError):
        await env.v2.delete(RUNNING)
    env.atlas.faults.clear()

    assert (await env.v2.get(RUNNING)).status_code == 200
