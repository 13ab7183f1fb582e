"""Digest authentication of the fake Atlas: accepted and rejected headers."""

import hashlib
import re

import httpx
import pytest

from bot.sandbox.atlas import PRIVATE_KEY, PUBLIC_KEY
from tests.integration.sandbox_atlas.conftest import GROUP, V2, AtlasEnv

PATH = f"/api/atlas/v2{GROUP}"
CHALLENGE = re.compile(
    r'Digest realm="MMS Public API", domain="", nonce="([A-Za-z0-9+/]{32})", '
    r'algorithm=MD5, qop="auth", stale=(true|false)'
)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def authorization(nonce: str, *, nc: str = "00000001", **other: str) -> str:
    """Compute a Digest header by hand, with Python's own hashes; `other` bends a parameter."""
    given = {"username": PUBLIC_KEY, "realm": "MMS Public API", "uri": PATH, "cnonce": "c0ffee"}
    secret = md5(f"{PUBLIC_KEY}:MMS Public API:{PRIVATE_KEY}")
    response = md5(f"{secret}:{nonce}:{nc}:c0ffee:auth:{md5(f'GET:{PATH}')}")
    given |= {"nonce": nonce, "response": response, "qop": "auth"}
    given |= {"nc": nc, **other}
    bare = {"nc", "qop", "algorithm"}
    return "Digest " + ", ".join(
        f"{key}={value}" if key in bare else f'{key}="{value}"' for key, value in given.items()
    )


async def challenge(env: AtlasEnv) -> str:
    answer = await env.http.get(PATH, headers={"Accept": V2})
    match = CHALLENGE.fullmatch(answer.headers["WWW-Authenticate"])
    assert match is not None
    return match[1]


async def send(env: AtlasEnv, header: str) -> httpx.Response:
    return await env.http.get(PATH, headers={"Accept": V2, "Authorization": header})


@pytest.mark.parametrize(
    ("bent", "why"),
    [
        ({"uri": "/api/atlas/v2/groups"}, "uri is not the request target"),
        ({"realm": "another"}, "realm is not the server's"),
        ({"qop": "auth-int"}, "qop is not auth"),
        ({"algorithm": "SHA-256"}, "algorithm is not the one requested"),
        ({"nc": "1"}, "nc is not 8 hex digits"),
        ({"nc": "00000000"}, "nc starts at 00000001"),
        ({"cnonce": ""}, "cnonce is empty"),
        ({"cnonce": "another"}, "unknown key or wrong response"),
        ({"username": "nobody"}, "unknown key or wrong response"),
        ({"response": "0" * 32}, "unknown key or wrong response"),
    ],
)
async def test_each_parameter_must_be_right(env: AtlasEnv, bent: dict[str, str], why: str) -> None:
    answer = await send(env, authorization(await challenge(env), **bent))

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].endswith("stale=false")
    assert env.atlas.calls[-1].refused == why
    assert env.atlas.calls[-1].challenge


@pytest.mark.parametrize(
    ("age", "nonce", "bent", "status", "stale"),
    [
        (60, "", {}, 200, None),
        (61, "", {}, 401, "true"),
        (0, "A" * 32, {}, 401, "true"),
        (61, "", {"response": "0" * 32}, 401, "false"),
    ],
    ids=["in its lifetime", "old nonce", "unknown nonce", "old nonce of a wrong key"],
)
async def test_only_an_old_or_unknown_nonce_of_the_right_key_is_stale(
    env: AtlasEnv, age: int, nonce: str, bent: dict[str, str], *, status: int, stale: str | None
) -> None:
    nonce = nonce or await challenge(env)
    env.clock.advance(age)

    answer = await send(env, authorization(nonce, **bent))

    assert answer.status_code == status
    assert stale is None or answer.headers["WWW-Authenticate"].endswith(f"stale={stale}")
