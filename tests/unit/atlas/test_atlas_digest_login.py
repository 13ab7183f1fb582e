"""Digest: one handshake, then the nonce with a rising count, whatever the server does."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from bot.atlas import AtlasClient, ChallengeNotUnderstood, KeyRefused, RoleMissing
from bot.atlas.digest import KEPT, PooledDigestAuth
from tests.unit.atlas.strict import (
    KEY,
    REF,
    Counts,
    StrictAtlas,
    answer_job,
    client,
    download_job,
    refusal,
)


async def test_a_first_look_cancel_look_is_four_requests_and_a_warm_one_three() -> None:
    atlas = StrictAtlas()
    async with client(atlas) as speaking:
        await _look_cancel_look(speaking)
        first = len(atlas.seen)
        await _look_cancel_look(speaking)

    assert (first, len(atlas.seen)) == (4, 7)


async def test_the_count_begins_at_one_and_rises() -> None:
    atlas = StrictAtlas()
    async with client(atlas) as speaking:
        await _look_cancel_look(speaking)

    assert [seen.nc for seen in atlas.seen] == [None, "00000001", "00000002", "00000003"]


@pytest.mark.parametrize("counts", ["unused", "exact"])
async def test_twenty_calls_at_once_meet_no_refusal_but_their_first_handshake(
    counts: Counts,
) -> None:
    atlas = StrictAtlas(counts=counts)
    async with client(atlas) as speaking:
        await asyncio.gather(*(speaking.restore_job(REF) for _ in range(20)))
        cold = atlas.statuses.count(401)
        for _ in range(10):
            await asyncio.gather(*(speaking.restore_job(REF) for _ in range(20)))

    assert (cold, atlas.statuses.count(401), atlas.statuses.count(200)) == (20, 20, 220)


@pytest.mark.parametrize("counts", ["unused", "exact"])
async def test_calls_that_are_given_the_same_nonce_take_turns_with_it(counts: Counts) -> None:
    atlas = StrictAtlas(counts=counts, same_nonce=True)
    async with client(atlas) as speaking:
        await asyncio.gather(*(speaking.restore_job(REF) for _ in range(20)))

    assert (atlas.statuses.count(401), atlas.statuses.count(200)) == (20, 20)


async def test_a_nonce_that_expires_before_the_delete_costs_one_handshake() -> None:
    atlas = StrictAtlas()
    async with client(atlas) as speaking:
        await speaking.restore_job(REF)
        atlas.expire_all()
        accepted = await speaking.cancel_restore_job(REF)

    assert accepted.status == 204
    assert atlas.statuses == [401, 200, 401, 204]


async def test_twenty_calls_after_the_nonces_expired_all_succeed() -> None:
    atlas = StrictAtlas(counts="exact")
    async with client(atlas) as speaking:
        await asyncio.gather(*(speaking.restore_job(REF) for _ in range(20)))
        atlas.expire_all()
        await asyncio.gather(*(speaking.restore_job(REF) for _ in range(20)))

    assert atlas.statuses.count(200) == 40


async def test_nonces_for_one_use_cost_a_handshake_a_call() -> None:
    atlas = StrictAtlas(uses=1)
    async with client(atlas) as speaking:
        await _look_cancel_look(speaking)

    assert atlas.statuses == [401, 200, 401, 204, 401, 200]


async def test_a_server_that_calls_every_nonce_stale_is_asked_twice_and_no_more() -> None:
    atlas = StrictAtlas(always_stale=True)
    async with client(atlas) as speaking:
        with pytest.raises(ChallengeNotUnderstood):
            await speaking.cancel_restore_job(REF)

    assert len(atlas.seen) == 2


async def test_a_wrong_key_is_two_requests_and_then_a_clear_error_each_time() -> None:
    atlas = StrictAtlas(private_key="another")
    async with client(atlas) as speaking:
        for _ in range(3):
            with pytest.raises(KeyRefused):
                await speaking.restore_job(REF)

    assert atlas.statuses == [401] * 6


async def test_a_key_that_is_revoked_while_warm_is_told_after_one_more_handshake() -> None:
    atlas = StrictAtlas()
    async with client(atlas) as speaking:
        await speaking.restore_job(REF)
        atlas.private_key = "another"
        with pytest.raises(KeyRefused):
            await speaking.cancel_restore_job(REF)

    assert atlas.statuses == [401, 200, 401, 401]


async def test_an_accepted_login_that_lacks_the_role_is_no_new_handshake() -> None:
    atlas = StrictAtlas(answer=lambda _: refusal(401, "USER_UNAUTHORIZED"))
    async with client(atlas) as speaking:
        for _ in range(2):
            with pytest.raises(RoleMissing):
                await speaking.restore_job(REF)

    assert atlas.statuses == [401, 401, 401, 401]
    assert [seen.nc for seen in atlas.seen] == [None, "00000001", None, "00000001"]


@pytest.mark.parametrize("algorithm", ["SHA-256", '"SHA-256"', "sha-256"])
async def test_sha_256_challenges_are_answered(algorithm: str) -> None:
    atlas = StrictAtlas(algorithm="SHA-256", rest=f'algorithm={algorithm}, qop="auth"')
    async with client(atlas) as speaking:
        await _look_cancel_look(speaking)

    assert atlas.statuses == [401, 200, 204, 200]


@pytest.mark.parametrize(
    "challenge",
    [
        'Digest Realm="{realm}", Nonce="{nonce}", QOP="auth", Algorithm=MD5',
        'DIGEST realm = "{realm}" , nonce = "{nonce}" , qop = "auth"',
        'Digest realm="{realm}",nonce="{nonce}",qop="auth,auth-int"',
        'Digest qop="auth-int, auth", nonce="{nonce}", realm="{realm}", opaque="5ccc069c403ebaf9"',
        'Basic realm="a, b", Digest realm="{realm}", nonce="{nonce}", qop=auth',
        'Negotiate, Digest realm="{realm}", nonce="{nonce}", qop="auth"',
        'Digest realm="", nonce=x, algorithm=X, Digest realm="{realm}", nonce="{nonce}", qop=auth',
        'Digest realm="{realm}", nonce="{nonce}", qop="auth", userhash=false, charset=UTF-8',
    ],
)
async def test_unusual_ways_to_write_a_challenge_are_understood(challenge: str) -> None:
    atlas = StrictAtlas(challenge=challenge)
    async with client(atlas) as speaking:
        await _look_cancel_look(speaking)

    assert atlas.statuses == [401, 200, 204, 200]


ODD = [
    'Digest realm="r", nonce="n", qop="auth-int"',
    'Digest realm="r", nonce="n", qop="auth", algorithm=WHIRLPOOL',
    'Digest realm="r"',
    'Digest realm="r", nonce=""',
    'Digest realm="ünïcode", nonce="n"',
    'Digest realm="a\\"b", nonce="n"',
    "Digest",
    "Digest ,,,===",
    'Basic realm="proxy"',
    "Bearer",
    "",
]


@pytest.mark.parametrize("odd", ODD)
async def test_an_unanswerable_challenge_is_a_clear_error_and_harms_no_later_call(odd: str) -> None:
    atlas = StrictAtlas()
    async with client(atlas) as speaking:
        await speaking.restore_job(REF)
        atlas.expire_all()
        atlas.challenge, usual = odd.replace("{", "{{"), atlas.challenge
        with pytest.raises(ChallengeNotUnderstood) as caught:
            await speaking.cancel_restore_job(REF)
        atlas.challenge = usual
        await _look_cancel_look(speaking)

    assert (caught.value.status, caught.value.may_have_taken_effect) == (401, False)
    assert atlas.statuses == [401, 200, 401, 401, 200, 204, 200]


async def test_a_401_without_any_challenge_before_a_login_is_no_word_about_the_key() -> None:
    async with client(lambda _: httpx.Response(401)) as speaking:
        with pytest.raises(ChallengeNotUnderstood):
            await speaking.cancel_restore_job(REF)


async def test_one_odd_challenge_in_the_way_of_a_read_is_passed_by_trying_again() -> None:
    answers = iter([httpx.Response(401, headers={"WWW-Authenticate": "Basic"})])
    atlas = StrictAtlas()

    async def handler(request: httpx.Request) -> httpx.Response:
        return next(answers, None) or await atlas(request)

    async with client(handler) as speaking:
        job = await speaking.restore_job(REF)

    assert job.id == REF.job_id


async def test_a_call_that_broke_off_does_not_lend_its_nonce_again() -> None:
    atlas = StrictAtlas(counts="exact")
    breaks = iter([False, True, False])

    def answer(request: httpx.Request) -> httpx.Response:
        if next(breaks, False):
            raise httpx.ReadError("reset", request=request)
        return answer_job(request)

    atlas.answer = answer
    async with client(atlas) as speaking:
        await speaking.restore_job(REF)
        await speaking.restore_job(REF)

    assert atlas.statuses == [401, 200, 401, 200]


async def test_a_cancelled_call_frees_its_nonce_for_others() -> None:
    atlas = StrictAtlas(same_nonce=True)
    async with client(atlas) as speaking:
        await speaking.restore_job(REF)
        hanging = asyncio.create_task(speaking.restore_job(REF))
        await asyncio.sleep(0)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        job = await asyncio.wait_for(speaking.restore_job(REF), 5)

    assert job.id == REF.job_id


async def test_the_nonces_that_are_kept_are_bounded() -> None:
    login = PooledDigestAuth(KEY, _is_401)
    atlas = StrictAtlas(uses=1)
    async with httpx.AsyncClient(transport=httpx.MockTransport(atlas), auth=login) as http:
        for _ in range(KEPT + 20):
            await http.get("https://cloud.example/api")

    assert len(login._nonces) == KEPT


async def test_an_envelope_that_hides_the_401_in_a_200_is_still_a_challenge() -> None:
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

    async with client(handler, envelope=True) as speaking:
        job = await speaking.restore_job(REF)

    assert job.id == REF.job_id


async def test_a_cookie_that_came_with_the_challenge_goes_with_the_answer() -> None:
    cookies = []
    atlas = StrictAtlas()

    async def handler(request: httpx.Request) -> httpx.Response:
        cookies.append(request.headers.get("Cookie"))
        response = await atlas(request)
        if response.status_code == 401:
            response.headers["Set-Cookie"] = "server=7; Path=/"
        return response

    async with client(handler) as speaking:
        await speaking.restore_job(REF)

    assert cookies == [None, "server=7"]


async def _is_401(response: httpx.Response) -> bool:
    return response.status_code == 401


async def _look_cancel_look(speaking: AtlasClient) -> None:
    await speaking.restore_job(REF)
    await speaking.cancel_restore_job(REF)
    await speaking.restore_job(REF)
