"""Service accounts: tokens, their end, revocation, and how many may live."""

import httpx
import pytest

from bot.sandbox.atlas import PROJECT_ID, FakeAtlasServer, ManualClock
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET
from tests.integration.sandbox_atlas.conftest import V2

FORM = {"grant_type": "client_credentials"}
NOBODY = httpx.Auth()
BASIC = httpx.BasicAuth(CLIENT_ID, CLIENT_SECRET)


async def token(http: httpx.AsyncClient) -> str:
    answer = await http.post("/api/oauth/token", data=FORM, auth=BASIC)
    return str(answer.json()["access_token"])


async def use(http: httpx.AsyncClient, bearer: str) -> httpx.Response:
    headers = {"Accept": V2, "Authorization": f"Bearer {bearer}"}
    return await http.get(f"/api/atlas/v2/groups/{PROJECT_ID}", headers=headers)


async def test_token_is_issued_and_accepted(
    atlas: FakeAtlasServer, http: httpx.AsyncClient
) -> None:
    answer = await http.post("/api/oauth/token", data=FORM, auth=BASIC)

    assert answer.status_code == 200
    assert (answer.json()["expires_in"], answer.json()["token_type"]) == (3600, "Bearer")
    assert (await use(http, answer.json()["access_token"])).status_code == 200
    assert [call.authorization for call in atlas.calls] == ["basic", "bearer"]


async def test_token_ends(http: httpx.AsyncClient, clock: ManualClock) -> None:
    bearer = await token(http)
    clock.advance(3600)

    assert (await use(http, bearer)).status_code == 401


async def test_revoked_token_is_rejected(http: httpx.AsyncClient) -> None:
    bearer = await token(http)
    form = {"token": bearer, "token_type_hint": "access_token"}

    answer = await http.post("/api/oauth/revoke", data=form, auth=BASIC)

    assert (answer.status_code, answer.content) == (200, b"")
    assert (await use(http, bearer)).status_code == 401


async def test_token_of_another_client_cannot_be_revoked(
    atlas: FakeAtlasServer, http: httpx.AsyncClient
) -> None:
    bearer = await token(http)
    atlas.world.add_service_account("mdb_sa_id_other", "secret", {})

    answer = await http.post(
        "/api/oauth/revoke", data={"token": bearer}, auth=("mdb_sa_id_other", "secret")
    )

    assert answer.status_code == 200
    assert (await use(http, bearer)).status_code == 200


async def test_unknown_token_is_rejected(http: httpx.AsyncClient) -> None:
    answer = await use(http, "invented")

    assert answer.status_code == 401
    assert answer.json()["detail"] == "You are not authorized for this resource."


@pytest.mark.parametrize(
    ("form", "auth", "status", "error"),
    [
        (FORM, httpx.BasicAuth(CLIENT_ID, "wrong"), 401, "invalid_client"),
        (FORM, httpx.BasicAuth("mdb_sa_id_nobody", CLIENT_SECRET), 401, "invalid_client"),
        (FORM, NOBODY, 401, "invalid_client"),
        ({**FORM, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}, NOBODY, 401,
         "invalid_client"),
        ({"grant_type": "password"}, BASIC, 400, "unsupported_grant_type"),
        ({"scope": "all"}, BASIC, 400, "invalid_request"),
    ],
)  # fmt: skip
async def test_refusals_are_in_oauths_own_form(
    http: httpx.AsyncClient,
    form: dict[str, str],
    auth: httpx.Auth,
    status: int,
    error: str,
) -> None:
    answer = await http.post("/api/oauth/token", data=form, auth=auth)

    assert answer.status_code == status
    assert list(answer.json()) == ["error", "error_description"]
    assert answer.json()["error"] == error


async def test_token_request_requires_a_form(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/oauth/token", json=FORM, auth=BASIC)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_credentials_in_the_body_can_be_allowed(
    atlas: FakeAtlasServer, http: httpx.AsyncClient
) -> None:
    atlas.behaviour.token_body_credentials = True
    form = {**FORM, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}

    assert (await http.post("/api/oauth/token", data=form)).status_code == 200


async def test_only_so_many_tokens_live(
    atlas: FakeAtlasServer, http: httpx.AsyncClient, clock: ManualClock
) -> None:
    atlas.behaviour.token_limit = 2
    for _ in range(2):
        await token(http)

    refused = await http.post("/api/oauth/token", data=FORM, auth=BASIC)

    assert (refused.status_code, refused.json()["error"]) == (403, "access_denied")

    clock.advance(3600)
    assert (await http.post("/api/oauth/token", data=FORM, auth=BASIC)).status_code == 200


async def test_access_list_applies_to_calls_not_to_token_requests(
    atlas: FakeAtlasServer, http: httpx.AsyncClient
) -> None:
    atlas.world.service_accounts[CLIENT_ID].access_list = ["203.0.113.0/24"]

    answer = await use(http, await token(http))

    assert answer.json()["errorCode"] == "IP_ADDRESS_NOT_ON_ACCESS_LIST"
