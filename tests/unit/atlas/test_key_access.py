"""The bot's own key in Atlas: its roles and its access list."""

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from bot.atlas import DigestKey, KeyRefused, ServiceAccount
from bot.atlas.key_access import KeyAccess, SystemStatus
from tests.support.atlas_client import AtlasClient
from tests.unit.atlas.strict_server import PROJECT, REF, StrictAtlas, client

ACCOUNT = ServiceAccount("mdb_sa_id_123", SecretStr("mdb_sa_sk_s3cr3t"))


@pytest.mark.parametrize(
    ("status", "addresses"), [(200, ("203.0.113.7",)), (403, None)], ids=["readable", "refused"]
)
async def test_roles_and_access_list_of_an_account_are_read_from_its_project(
    status: int, addresses: tuple[str, ...] | None
) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/oauth/token":
            return httpx.Response(200, json={"access_token": "t0k3n", "expires_in": 3600})
        asked.append(f"{request.url.path} {request.headers['Accept']}")
        if request.url.path.endswith("/accessList"):
            return httpx.Response(status, json={"results": [{"ipAddress": "203.0.113.7"}]})
        return httpx.Response(200, json={"roles": ["GROUP_OWNER", {"odd": 1}]})

    async with AtlasClient(ACCOUNT, transport=httpx.MockTransport(answer)) as atlas:
        found = await atlas.key_access(PROJECT)

    roles = frozenset({"GROUP_OWNER"})
    assert found == KeyAccess(key_id="mdb_sa_id_123", roles=roles, addresses=addresses)
    path = f"/api/atlas/v2/groups/{PROJECT}/serviceAccounts/mdb_sa_id_123"
    media = "application/vnd.atlas.2024-08-05+json"
    assert asked == [f"{path} {media}", f"{path}/accessList {media}"]


async def test_roles_and_access_list_of_a_key_are_read_from_the_root() -> None:
    asked: list[str] = []
    roles = [
        {"groupId": PROJECT, "roleName": "GROUP_READ_ONLY"},
        {"groupId": "5b6212af90dc76637950a2c9", "roleName": "GROUP_OWNER"},
        {"orgId": "5b6212af90dc76637950a2ca", "roleName": "ORG_MEMBER"},
    ]
    entries = [
        {"cidrBlock": "198.51.100.7/32", "ipAddress": "198.51.100.7"},
        {"ipAddress": "2001:db8::1"},
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        key = {"id": "x", "publicKey": "abcdwxyz", "roles": roles, "accessList": entries}
        return httpx.Response(200, json={"appName": "MongoDB Atlas", "apiKey": key})

    key = DigestKey("abcdwxyz", SecretStr("private"))
    async with AtlasClient(key, transport=httpx.MockTransport(answer)) as atlas:
        found = await atlas.key_access(PROJECT)

    assert asked == ["/api/atlas/v2"]
    assert found == KeyAccess(
        key_id="abcdwxyz",
        roles=frozenset({"GROUP_READ_ONLY", "ORG_MEMBER"}),
        addresses=("198.51.100.7/32", "2001:db8::1"),
    )


@pytest.mark.parametrize("root", [{}, {"apiKey": None}, {"apiKey": {"id": "x"}}])
def test_root_without_roles_leaves_the_key_unknown(root: dict[str, Any]) -> None:
    assert SystemStatus.model_validate(root).access_of("key", PROJECT) == KeyAccess(key_id="key")


@pytest.mark.parametrize(
    ("roles", "may_cancel"),
    [
        (None, None),
        ({"GROUP_BACKUP_MANAGER", "ORG_MEMBER"}, True),
        ({"GROUP_BACKUP_RECOVERY_OPERATOR"}, True),
        ({"GROUP_READ_ONLY", "ORG_MEMBER"}, False),
        ({"GROUP_READ_ONLY", "GROUP_BACKUP_WIZARD"}, None),
    ],
)
def test_roles_say_whether_the_key_may_cancel(
    roles: set[str] | None, may_cancel: bool | None
) -> None:
    access = KeyAccess(key_id="key", roles=None if roles is None else frozenset(roles))

    assert access.may_cancel is may_cancel


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
