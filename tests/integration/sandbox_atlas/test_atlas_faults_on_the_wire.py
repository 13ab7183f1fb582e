"""Each kind of fault as a client gets it, and whether the DELETE took effect."""

import asyncio
import contextlib
import json

import httpx
import pytest

from bot.sandbox.atlas import PRESETS, FakeAtlasServer, Fault, Kind
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET
from tests.integration.sandbox_atlas.conftest import AtlasEnv, Caller, job_path

JOB = "65f0a1c2d3e4f5a6b7c80101"
RUNNING = job_path("prod-eu", JOB)


async def test_delay_comes_before_the_effect(env: AtlasEnv) -> None:
    env.atlas.faults.add(Fault(kind=Kind.DELAY, seconds=0.05))

    answer = await env.v2.delete(RUNNING)

    assert answer.status_code == 204
    assert env.atlas.calls[-1].seconds >= 0.05
    assert env.atlas.calls[-1].faults == ("delay",)


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


@pytest.mark.parametrize(
    ("kind", "cancelled"), [(Kind.RESET_BEFORE, []), (Kind.RESET_AFTER, [JOB])]
)
async def test_cut_comes_before_or_after_the_effect(
    env: AtlasEnv, kind: Kind, cancelled: list[str]
) -> None:
    env.atlas.faults.add(Fault(kind=kind, method="DELETE"))

    with pytest.raises(httpx.TransportError):
        await env.v2.delete(RUNNING)

    assert env.atlas.world.cancellations == cancelled
    assert env.atlas.calls[-1].status is None
    assert env.atlas.calls[-1].effect is bool(cancelled)
    assert len(env.atlas.deletes(JOB)) == 1


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


async def test_429_carries_its_wait(env: AtlasEnv) -> None:
    env.atlas.faults.add(Fault(kind=Kind.STATUS, status=429, retry_after=7))

    answer = await env.v2.get(RUNNING)

    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "7"
    assert answer.headers["X-Error-Code"] == "RATE_LIMITED_TOKEN_BUCKET"
    assert (await env.v2.get(RUNNING)).status_code == 200


@pytest.mark.parametrize(
    ("status", "code"), [(500, "UNEXPECTED_ERROR"), (503, "SERVICE_UNAVAILABLE")]
)
async def test_server_errors_have_the_body_of_atlas(env: AtlasEnv, status: int, code: str) -> None:
    env.atlas.faults.add(Fault(kind=Kind.STATUS, status=status))

    answer = await env.v2.delete(RUNNING)

    assert (answer.status_code, answer.json()["errorCode"]) == (status, code)
    assert env.atlas.world.cancellations == []


async def test_error_can_have_another_status_or_no_code(env: AtlasEnv) -> None:
    env.atlas.faults.add(Fault(kind=Kind.ERROR, code="UNEXPECTED_ERROR", status=404))
    odd = await env.v2.get(RUNNING)
    env.atlas.faults.add(Fault(kind=Kind.ERROR, status=403))
    bare = await env.v2.get(RUNNING)

    assert (odd.status_code, odd.json()["errorCode"]) == (404, "UNEXPECTED_ERROR")
    assert (bare.status_code, bare.json()["error"]) == (403, 403)
    assert "errorCode" not in bare.json()
    assert "X-Error-Code" not in bare.headers


@pytest.mark.parametrize("kind", [Kind.HTML, Kind.TRUNCATED, Kind.WRONG_SHAPE, Kind.EMPTY])
async def test_unreadable_bodies_are_200_and_take_effect(env: AtlasEnv, kind: Kind) -> None:
    env.atlas.faults.add(Fault(kind=kind, times=2))

    read = await env.v2.get(RUNNING)
    cancelled = await env.v2.delete(RUNNING)

    assert (read.status_code, cancelled.status_code) == (200, 200)
    assert not is_job(read.text)
    assert env.atlas.world.cancellations == [JOB]


def is_job(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


async def test_response_can_be_truncated(env: AtlasEnv) -> None:
    env.atlas.faults.add(Fault(kind=Kind.CUT_BODY))

    with pytest.raises(httpx.RemoteProtocolError):
        await env.v2.get(RUNNING)

    assert env.atlas.calls[-1].status is None


async def test_effect_can_be_visible_late(env: AtlasEnv) -> None:
    env.atlas.faults.add(Fault(kind=Kind.STALE_READ, method="DELETE", reads=2))

    assert (await env.v2.delete(RUNNING)).status_code == 204
    seen = [(await env.v2.get(RUNNING)).json()["cancelled"] for _ in range(3)]

    assert seen == [False, False, True]


async def test_key_can_be_rejected(env: AtlasEnv) -> None:
    env.atlas.faults.add(Fault(kind=Kind.REFUSE_KEY, times=None))

    answer = await env.v2.delete(RUNNING)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].endswith("stale=false")
    assert env.atlas.deletes() == []
    assert env.atlas.world.cancellations == []


async def test_challenge_can_have_another_scheme(env: AtlasEnv) -> None:
    env.atlas.faults.add(Fault(kind=Kind.ODD_CHALLENGE, on="challenge", challenge="Negotiate"))

    first = await env.http.get(f"/api/atlas/v2{RUNNING}")
    second = await env.http.get(f"/api/atlas/v2{RUNNING}")

    assert first.headers["WWW-Authenticate"] == "Negotiate"
    assert second.headers["WWW-Authenticate"].startswith("Digest ")


async def test_forgotten_nonces_are_stale(env: AtlasEnv) -> None:
    await env.v2.get(RUNNING)
    env.atlas.faults.add(Fault(kind=Kind.FORGET_NONCES, method="DELETE"))

    answer = await env.v2.delete(RUNNING)

    assert answer.status_code == 204
    assert [call.status for call in env.atlas.calls] == [401, 200, 401, 204]
    assert env.atlas.calls[2].refused == "nonce is not known"


async def test_tokens_can_be_revoked_before_a_call(env: AtlasEnv) -> None:
    form = {"grant_type": "client_credentials"}
    given = await env.http.post("/api/oauth/token", data=form, auth=(CLIENT_ID, CLIENT_SECRET))
    env.atlas.faults.add(Fault(kind=Kind.FORGET_TOKENS))
    bearer = {"Authorization": f"Bearer {given.json()['access_token']}"}

    assert (await env.http.get(f"/api/atlas/v2{RUNNING}", headers=bearer)).status_code == 401


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"slow", "hang"}))
async def test_after_a_preset_is_cleared_calls_succeed(env: AtlasEnv, name: str) -> None:
    env.atlas.faults.preset(name)
    with contextlib.suppress(httpx.TransportError):
        await env.v2.delete(RUNNING)
    env.atlas.faults.clear()

    assert (await env.v2.get(RUNNING)).status_code == 200
