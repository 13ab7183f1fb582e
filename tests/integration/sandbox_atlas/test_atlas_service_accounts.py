"""Service accounts: tokens and their expiry."""

import httpx
import pytest

from bot.sandbox.atlas import PROJECT_ID
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET
from tests.integration.sandbox_atlas.conftest import V2, AtlasEnv

FORM = {"grant_type": "client_credentials"}
UNKNOWN_CLIENT = httpx.Auth()
BASIC = httpx.BasicAuth(CLIENT_ID, CLIENT_SECRET)


async def token(env: AtlasEnv) -> str:
    answer = await env.http.post("/api/oauth/token", data=FORM, auth=BASIC)
    return str(answer.json()["access_token"])


async def use(env: AtlasEnv, bearer: str) -> httpx.Response:
    headers = {"Accept": V2, "Authorization": f"Bearer {bearer}"}
    return await env.http.get(f"/api/atlas/v2/groups/{PROJECT_ID}", headers=headers)


async def test_token_is_issued_and_accepted(env: AtlasEnv) -> None:
    answer = await env.http.post("/api/oauth/token", data=FORM, auth=BASIC)

    assert answer.status_code == 200
    assert (answer.json()["expires_in"], answer.json()["token_type"]) == (3600, "Bearer")
    assert (await use(env, answer.json()["access_token"])).status_code == 200
    assert [call.authorization for call in env.atlas.calls] == ["basic", "bearer"]


async def test_expired_token_is_rejected(env: AtlasEnv) -> None:
    bearer = await token(env)
    env.clock.advance(3600)

    assert (await use(env, bearer)).status_code == 401


async def test_unknown_token_is_rejected(env: AtlasEnv) -> None:
    answer = await use(env, "invented")

    assert answer.status_code == 401
    assert answer.json()["detail"] == "You are not authorized for this resource."


@pytest.mark.parametrize(
    ("form", "auth", "status", "error"),
    [
        (FORM, httpx.BasicAuth(CLIENT_ID, "wrong"), 401, "invalid_client"),
        (FORM, httpx.BasicAuth("mdb_sa_id_nobody", CLIENT_SECRET), 401, "invalid_client"),
        (FORM, UNKNOWN_CLIENT, 401, "invalid_client"),
        ({**FORM, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}, UNKNOWN_CLIENT, 401,
         "invalid_client"),
        ({"grant_type": "password"}, BASIC, 400, "unsupported_grant_type"),
        ({"scope": "all"}, BASIC, 400, "invalid_request"),
    ],
)  # fmt: skip
async def test_refusals_are_in_oauths_own_form(
    env: AtlasEnv, form: dict[str, str], auth: httpx.Auth, status: int, error: str
) -> None:
    answer = await env.http.post("/api/oauth/token", data=form, auth=auth)

    assert answer.status_code == status
    assert list(answer.json()) == ["error", "error_description"]
    assert answer.json()["error"] == error


async def test_token_request_requires_a_form(env: AtlasEnv) -> None:
    answer = await env.http.post("/api/oauth/token", json=FORM, auth=BASIC)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
