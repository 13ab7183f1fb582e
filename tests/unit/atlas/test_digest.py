"""Digest: one handshake, then the nonce with a rising count; other challenges are reported."""

import asyncio
import re
from contextlib import suppress

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.atlas import RoleMissing
from bot.atlas.errors import ChallengeNotUnderstood
from bot.atlas.logins import Nonce, UnsupportedChallenge
from tests.support.atlas_client import AtlasClient
from tests.unit.atlas.strict_server import (
    KEY,
    REF,
    Counts,
    StrictAtlas,
    answer_job,
    client,
    download_job,
    failed_cancel,
    read_job,
    refusal,
)


@pytest.mark.parametrize("counts", ["unused", "exact"])
async def test_concurrent_calls_with_the_same_nonce_continue_its_count(counts: Counts) -> None:
    atlas = StrictAtlas(counts=counts, same_nonce=True)
    async with client(atlas) as client_:
        await asyncio.gather(*(client_.restore_job(REF) for _ in range(20)))

    assert (atlas.statuses.count(401), atlas.statuses.count(200)) == (20, 20)


async def test_single_use_nonces_cost_one_handshake_per_call() -> None:
    atlas = StrictAtlas(uses=1)
    async with client(atlas) as client_:
        await _read_cancel_read(client_)

    assert atlas.statuses == [401, 200, 401, 204, 401, 200]


async def test_always_stale_nonces_end_after_two_requests() -> None:
    atlas = StrictAtlas(always_stale=True)
    await failed_cancel(ChallengeNotUnderstood, atlas)

    assert len(atlas.seen) == 2


async def test_missing_role_is_reported_after_one_handshake_at_most() -> None:
    atlas = StrictAtlas()
    async with client(atlas) as client_:
        await client_.restore_job(REF)
        atlas.answer = lambda _: refusal(401, "USER_UNAUTHORIZED")
        for _ in range(2):
            with pytest.raises(RoleMissing):
                await client_.restore_job(REF)

    assert atlas.statuses == [401, 200, 401, 401, 401]
    assert [seen.nc for seen in atlas.seen] == [None, "00000001", "00000002", None, "00000001"]


@pytest.mark.parametrize(
    "odd",
    [
        'Basic realm="proxy"',
        'Negotiate, Digest realm="r", nonce="n"',
        'Digest realm="r"',
        'Digest realm=, nonce="n"',
        'Digest realm="r", nonce="n", algorithm=X',
        'Digest realm="r", nonce="n", qop="auth-int"',
        'Digest realm="r", nonce="n", qop="x"',
        'Digest realm="r", nonce="n", stale',
        'Digest realm="ünïcode", nonce="n"',
    ],
)
async def test_unsupported_challenge_fails_and_does_not_affect_later_calls(odd: str) -> None:
    atlas = StrictAtlas()
    async with client(atlas) as client_:
        await client_.restore_job(REF)
        atlas.expire_all()
        atlas.challenge, usual = odd, atlas.challenge
        with pytest.raises(ChallengeNotUnderstood) as caught:
            await client_.cancel_restore_job(REF)
        atlas.challenge = usual
        await _read_cancel_read(client_)

    error = caught.value
    assert (error.status, error.may_have_taken_effect) == (401, False)
    assert error.detail == odd
    assert atlas.statuses == [401, 200, 401, 401, 200, 204, 200]


_tokens = ["Digest ", "realm", "nonce", "qop", "algorithm", "opaque", "MD5", "SHA-256", "auth"]
_tokens += ["auth-int", "x", "é", "{", "=", "==", ",", '"', "\\", " ", "\t"]


@given(st.lists(st.sampled_from(_tokens), max_size=40).map("".join) | st.text(max_size=200))
@example('algorithm="md5-SESS", qop="auth-int,auth", opaque=""')
def test_any_challenge_is_answered_or_reported(tokens: str) -> None:
    request = httpx.Request("GET", "https://cloud.example/api")
    for challenge in (tokens, f'Digest realm="r", nonce="n", {tokens}'):
        nonce = Nonce(KEY, challenge)
        for _ in range(2):  # a call that gets the same challenge has the same nonce
            with suppress(UnsupportedChallenge):
                nonce.sign(request)
                assert request.headers["Authorization"].startswith('Digest username="abcdefgh", ')


async def test_401_without_a_challenge_is_not_reported_as_a_refused_key() -> None:
    error = await failed_cancel(ChallengeNotUnderstood, lambda _: httpx.Response(401))

    assert error.detail == "no challenge"


async def test_nonce_of_a_broken_call_is_not_reused() -> None:
    atlas = StrictAtlas(counts="exact")
    breaks = iter([False, True, False])

    def answer(request: httpx.Request) -> httpx.Response:
        if next(breaks, False):
            raise httpx.ReadError("reset", request=request)
        return answer_job(request)

    atlas.answer = answer
    async with client(atlas) as client_:
        await client_.restore_job(REF)
        await client_.restore_job(REF)

    assert atlas.statuses == [401, 200, 401, 200]


async def test_call_succeeds_where_a_handshake_takes_nearly_all_of_its_time() -> None:
    atlas = StrictAtlas()

    async def handler(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.3)
        return await atlas(request)

    async with client(handler, request_timeout=0.5) as client_:
        await client_.restore_job(REF)

    assert atlas.statuses == [401, 200]


async def test_refused_nonce_is_not_used_again_by_concurrent_calls() -> None:
    atlas = StrictAtlas()
    async with client(atlas) as client_:
        await client_.restore_job(REF)
        atlas.expire_all()
        for calls in (2, 3):  # one more than nonces that were accepted since
            await asyncio.gather(*(client_.restore_job(REF) for _ in range(calls)))

    refused = [seen.nc for seen in atlas.seen if seen.status == 401 and seen.nc]
    assert refused == ["00000002"]


async def test_delete_does_not_wait_for_a_hanging_read_with_the_same_nonce() -> None:
    atlas = StrictAtlas(same_nonce=True)
    answers = asyncio.Event()
    answers.set()

    async def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            await answers.wait()
        return await atlas(request)

    async with client(handler) as client_:
        await client_.restore_job(REF)
        answers.clear()
        hanging = asyncio.create_task(client_.restore_job(REF))
        await asyncio.sleep(0)
        accepted = await asyncio.wait_for(client_.cancel_restore_job(REF), 5)
        answers.set()
        await hanging

    assert accepted == 204


async def test_enveloped_401_is_answered_as_a_challenge() -> None:
    atlas = StrictAtlas(answer=lambda _: httpx.Response(200, json=enveloped(200, download_job())))

    def enveloped(status: int, content: object) -> dict[str, object]:
        return {"status": status, "content": content}

    async def handler(request: httpx.Request) -> httpx.Response:
        response = await atlas(request)
        if response.status_code != 401:
            return response
        body = enveloped(401, response.json())
        return httpx.Response(
            200, headers={"WWW-Authenticate": response.headers["WWW-Authenticate"]}, json=body
        )

    job = await read_job(handler, envelope=True)

    assert job.id == REF.job_id


async def _read_cancel_read(client_: AtlasClient) -> None:
    await client_.restore_job(REF)
    await client_.cancel_restore_job(REF)
    await client_.restore_job(REF)


async def test_server_with_nonces_bound_to_its_sessions_costs_one_handshake() -> None:
    atlas = StrictAtlas()
    session_of: dict[str, str] = {}

    async def bound(request: httpx.Request) -> httpx.Response:
        given = re.search(r'nonce="([^"]*)"', request.headers.get("Authorization", ""))
        if given and request.headers.get("Cookie") != f"session={session_of[given[1]]}":
            request.headers.pop("Authorization")
        response = await atlas(request)
        if challenge := response.headers.get("WWW-Authenticate"):
            nonce = challenge.split('nonce="')[1].split('"')[0]
            session_of[nonce] = str(len(session_of))
            response.headers["Set-Cookie"] = f"session={session_of[nonce]}; Path=/"
        else:
            response.headers["Set-Cookie"] = "session=another; Path=/"
        return response

    async with client(bound) as client_:
        for _ in range(3):
            await client_.restore_job(REF)
            await client_.restore_job(REF)
            atlas.expire_all()

    assert atlas.statuses == [401, 200, 200] * 3
