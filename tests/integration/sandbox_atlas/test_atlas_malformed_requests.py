"""Malformed requests are answered like any other invalid one."""

from collections.abc import AsyncIterator

import httpx
import pytest

from bot.sandbox.atlas import PRIVATE_KEY, PUBLIC_KEY, FakeAtlasServer

V2 = "application/vnd.atlas.2023-01-01+json"


@pytest.fixture
async def client(atlas: FakeAtlasServer) -> AsyncIterator[httpx.AsyncClient]:
    auth = httpx.DigestAuth(PUBLIC_KEY, PRIVATE_KEY)
    async with httpx.AsyncClient(base_url=atlas.url, auth=auth) as opened:
        yield opened


@pytest.mark.parametrize("name", ["a%0Ab", "%00", "%FF", "%2E%2E"])
async def test_path_with_any_character_gets_an_error_of_atlas(
    client: httpx.AsyncClient, name: str
) -> None:
    answer = await client.get(f"/api/atlas/v2/groups/{name}", headers={"Accept": V2})

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "INVALID_GROUP_ID")


@pytest.mark.parametrize("path", ["/api/oauth/token", "/api/oauth/revoke"])
async def test_token_requires_post(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, auth=None)

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("encoded", ["é", "=", "YQ", "/////w=="])
async def test_malformed_basic_credentials_are_rejected(
    atlas: FakeAtlasServer, encoded: str
) -> None:
    headers = {b"Authorization": f"Basic {encoded}".encode()}
    form = {"grant_type": "client_credentials"}
    async with httpx.AsyncClient(base_url=atlas.url) as client:
        answer = await client.post("/api/oauth/token", data=form, headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
