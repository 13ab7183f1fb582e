"""The bot's own key in Atlas: its roles, and its refusal."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from bot.atlas import DigestKey, KeyRefused, ServiceAccount
from bot.atlas.roles import SystemStatus
from tests.support.atlas_client import AtlasClient
from tests.unit.atlas.strict_server import PROJECT, REF, StrictAtlas, client

ACCOUNT = ServiceAccount("mdb_sa_id_123", SecretStr("mdb_sa_sk_s3cr3t"))


async def test_roles_of_an_account_are_read_from_its_project() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/oauth/token":
            return httpx.Response(200, json={"access_token": "t0k3n", "expires_in": 3600})
        asked.append(f"{request.url.path} {request.headers['Accept']}")
        return httpx.Response(200, json={"roles": ["GROUP_OWNER", {"odd": 1}]})

    async with AtlasClient(ACCOUNT, transport=httpx.MockTransport(answer)) as atlas:
        assert await atlas.roles(PROJECT) == {"GROUP_OWNER"}

    path = f"/api/atlas/v2/groups/{PROJECT}/serviceAccounts/mdb_sa_id_123"
    assert asked == [f"{path} application/vnd.atlas.2024-08-05+json"]


async def test_roles_of_a_key_in_project_and_organization_are_read_from_the_root() -> None:
    asked: list[str] = []
    roles = [
        {"groupId": PROJECT, "roleName": "GROUP_READ_ONLY"},
        {"groupId": "5b6212af90dc76637950a2c9", "roleName": "GROUP_OWNER"},
        {"orgId": "5b6212af90dc76637950a2ca", "roleName": "ORG_MEMBER"},
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        key = {"id": "x", "publicKey": "abcdwxyz", "roles": roles}
        return httpx.Response(200, json={"appName": "MongoDB Atlas", "apiKey": key})

    key = DigestKey("abcdwxyz", SecretStr("private"))
    async with AtlasClient(key, transport=httpx.MockTransport(answer)) as atlas:
        assert await atlas.roles(PROJECT) == {"GROUP_READ_ONLY", "ORG_MEMBER"}

    assert asked == ["/api/atlas/v2"]


@pytest.mark.parametrize("root", [{}, {"apiKey": None}, {"apiKey": {"id": "x"}}])
def test_root_without_roles_names_none(root: dict[str, Any]) -> None:
    assert SystemStatus.model_validate(root).roles_in(PROJECT) == frozenset()


async def test_refused_key_is_counted_and_a_challenge_is_not() -> None:
    refused: list[str] = []
    atlas = StrictAtlas()
    async with client(atlas, on_login_refused=lambda: refused.append("key")) as client_:
        await client_.restore_job(REF)
        atlas.expire_all()
        await client_.restore_job(REF)
        assert atlas.statuses == [401, 200, 401, 200]
        assert refused == []
        atlas.private_key = "another"
        with pytest.raises(KeyRefused):
            await client_.restore_job(REF)

    assert refused == ["key"]


async def test_refused_service_account_is_counted() -> None:
    refused: list[str] = []
    answer = httpx.Response(401, json={"error": "invalid_client"})
    async with AtlasClient(
        ACCOUNT,
        transport=httpx.MockTransport(lambda _: answer),
        on_login_refused=lambda: refused.append("account"),
    ) as atlas:
        with pytest.raises(KeyRefused):
            await atlas.restore_job(REF)

    assert refused == ["account"]
