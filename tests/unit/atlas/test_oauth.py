"""A service account's token: fetched once, renewed in time and after a 401, never exposed."""

import asyncio
import base64
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import SecretStr

from bot.atlas import AtlasError, KeyRefused, RoleMissing, ServiceAccount
from bot.atlas.errors import (
    NoConnection,
    OtherRefusal,
    RateLimited,
    TimedOut,
    TokenLimit,
    Unavailable,
    UnreadableAnswer,
)
from bot.atlas.logins import Token
from tests.support.atlas_client import AtlasClient
from tests.support.atlas_facts import atlas_answer
from tests.support.clock import FakeClock
from tests.unit.atlas.strict_server import REF, answer_job, refusal

ACCOUNT = ServiceAccount("mdb_sa_id_123", SecretStr("mdb_sa_sk_s3cr3t"))
REFUSED = atlas_answer("token-refused").body
LIMITED = {"error": "access_denied", "error_description": "Access Token limit reached for …"}
ENDED_TOKEN = httpx.Response(200, json={"access_token": "t0k3n", "expires_in": -1})
BASIC = "Basic " + base64.b64encode(b"mdb_sa_id_123:mdb_sa_sk_s3cr3t").decode()


@dataclass
class TokenAtlas:
    """Issues tokens for the secret, and answers calls with a valid token."""

    lasts: int = 3600
    token_answer: httpx.Response | Exception | None = None
    api_answer: httpx.Response | None = None
    given: list[str] = field(default_factory=list)
    live: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        if request.url.path == "/api/oauth/token":
            self.asked.append("token")
            return self._token(request)
        self.asked.append(request.method)
        if request.headers["Authorization"].removeprefix("Bearer ") not in self.live:
            return refusal(401, None)
        return self.api_answer or answer_job(request)

    def _token(self, request: httpx.Request) -> httpx.Response:
        assert request.method == "POST"
        assert request.content == b"grant_type=client_credentials"
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert request.headers["Authorization"] == BASIC
        if isinstance(self.token_answer, Exception):
            raise self.token_answer
        return self.token_answer or self._give()

    def _give(self) -> httpx.Response:
        self.given.append(f"t0k3n-{len(self.given)}")
        self.live.add(self.given[-1])
        changes = {"access_token": self.given[-1], "expires_in": self.lasts}
        return httpx.Response(200, json=atlas_answer("token").body | changes)


def speak(atlas: TokenAtlas, clock: FakeClock | None = None) -> AtlasClient:
    clock = clock or FakeClock()
    return AtlasClient(
        ACCOUNT, transport=httpx.MockTransport(atlas), sleep=clock.sleep, monotonic=clock.monotonic
    )


@pytest.mark.parametrize(("lasts", "kept"), [(3600, 3540), (100, 90)])
async def test_token_is_renewed_before_it_expires(lasts: int, kept: int) -> None:
    clock = FakeClock()
    atlas = TokenAtlas(lasts=lasts)
    async with speak(atlas, clock) as client_:
        await client_.restore_job(REF)
        clock.advance(kept - 1)
        await client_.restore_job(REF)
        clock.advance(1)
        await client_.restore_job(REF)

    assert atlas.asked == ["token", "GET", "GET", "token", "GET"]


async def test_refused_token_is_renewed_once_before_the_delete() -> None:
    atlas = TokenAtlas()
    async with speak(atlas) as client_:
        await client_.restore_job(REF)
        atlas.live.clear()
        accepted = await client_.cancel_restore_job(REF)

    assert accepted == 204
    assert atlas.asked == ["token", "GET", "DELETE", "token", "DELETE"]


async def test_twenty_refused_calls_request_one_new_token() -> None:
    atlas = TokenAtlas()
    async with speak(atlas) as client_:
        await client_.restore_job(REF)
        atlas.live.clear()
        await asyncio.gather(*(client_.restore_job(REF) for _ in range(20)))

    assert atlas.asked.count("token") == 2


async def test_lasting_401_does_not_use_up_tokens() -> None:
    clock = FakeClock()
    atlas = TokenAtlas(api_answer=refusal(401, "USER_UNAUTHORIZED"))
    async with speak(atlas, clock) as client_:
        for _ in range(5):
            with pytest.raises(RoleMissing):
                await client_.restore_job(REF)
        clock.advance(61)
        with pytest.raises(RoleMissing):
            await client_.restore_job(REF)

    assert atlas.asked.count("token") == 3


@pytest.mark.parametrize(
    ("answer", "leaf", "code"),
    [
        (httpx.Response(401, json=REFUSED), KeyRefused, "invalid_client"),
        (httpx.Response(400, json={"error": "invalid_grant"}), KeyRefused, "invalid_grant"),
        (httpx.Response(401), KeyRefused, None),
        (httpx.Response(400, json={"error": "invalid_request"}), OtherRefusal, "invalid_request"),
        (httpx.Response(403, json={"error": "access_denied"}), OtherRefusal, "access_denied"),
        (httpx.Response(403, json=LIMITED), TokenLimit, "access_denied"),
        (httpx.Response(429, headers={"Retry-After": "3"}), RateLimited, None),
        (httpx.Response(500), Unavailable, None),
        (httpx.Response(302), UnreadableAnswer, None),
        (httpx.Response(200), UnreadableAnswer, None),
        (httpx.Response(200, json={"access_token": ""}), UnreadableAnswer, None),
        (httpx.Response(200, json={"access_token": "a\r\nX: y"}), UnreadableAnswer, None),
        (ENDED_TOKEN, UnreadableAnswer, None),
        (httpx.ReadTimeout("slow"), TimedOut, None),
        (httpx.ConnectError("refused"), NoConnection, None),
    ],
)
async def test_cancel_without_a_token_is_not_sent(
    answer: httpx.Response | Exception, leaf: type[AtlasError], code: str | None
) -> None:
    atlas = TokenAtlas(token_answer=answer)
    async with speak(atlas) as client_:
        with pytest.raises(AtlasError) as caught:
            await client_.cancel_restore_job(REF)

    assert (type(caught.value), caught.value.code) == (leaf, code)
    assert getattr(caught.value, "may_have_taken_effect", False) is False
    assert atlas.asked == ["token"]


async def test_cancelled_renewal_does_not_block_others() -> None:
    atlas = TokenAtlas()
    async with speak(atlas) as client_:
        renewing = asyncio.create_task(client_.restore_job(REF))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        renewing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await renewing
        job = await asyncio.wait_for(client_.restore_job(REF), 5)

    assert job.id == REF.job_id


async def test_secret_and_token_are_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    atlas = TokenAtlas(api_answer=refusal(401, None))
    async with speak(atlas) as client_:
        with pytest.raises(KeyRefused) as caught:
            await client_.restore_job(REF)
        shown = (
            f"{caught.value!r} {vars(caught.value)} {ACCOUNT!r} {caplog.text} {Token('t0k3n', 0)!r}"
        )

    assert "s3cr3t" not in shown
    assert "t0k3n" not in shown
    assert BASIC not in shown
