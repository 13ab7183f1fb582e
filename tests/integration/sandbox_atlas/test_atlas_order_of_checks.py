"""The order of refusals, and which of them have rate limit headers."""

import httpx
import pytest

from bot.sandbox.atlas import PROJECT_ID, Role
from tests.integration.sandbox_atlas.conftest import GROUP, V2, AtlasEnv, Caller, job_path

RUNNING = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80101")


def speaker(env: AtlasEnv, public: str, private: str) -> Caller:
    return Caller(env.http, "/api/atlas/v2", V2, httpx.DigestAuth(public, private))


@pytest.mark.parametrize(
    ("path", "status", "code", "detail"),
    [
        ("/nothing", 404, "RESOURCE_NOT_FOUND", "Cannot find resource /api/atlas/v2/nothing."),
        ("/groups/xyz", 404, "INVALID_GROUP_ID", "An invalid group ID xyz was specified."),
        (f"/groups/{'b' * 24}", 404, "GROUP_NOT_FOUND", f"No group with ID {'b' * 24} exists."),
        (
            f"{GROUP}/clusters/nowhere/backup/restoreJobs",
            404,
            "CLUSTER_NOT_FOUND",
            f"No cluster named nowhere exists in group {PROJECT_ID}.",
        ),
        (
            f"{GROUP}/clusters/no%20where%2F..%2Fx/backup/restoreJobs",
            400,
            "INVALID_PATH_PARAMETER",
            "Invalid path parameter clusterName specified.",
        ),
        (
            job_path("prod-eu", "a" * 24),
            404,
            "RESTORE_JOB_NOT_FOUND",
            f"No restore job with ID {'a' * 24} exists for cluster prod-eu.",
        ),
    ],
)
async def test_missing_resource_is_named(
    env: AtlasEnv, path: str, status: int, code: str, detail: str
) -> None:
    answer = await env.v2.get(path)

    assert answer.status_code == status
    assert answer.json()["errorCode"] == code
    assert answer.json()["detail"] == detail


async def test_version_comes_before_the_project(env: AtlasEnv) -> None:
    answer = await env.v2.get("/groups/xyz", accept="application/json")

    assert answer.json()["errorCode"] == "INVALID_VERSION_DATE"


async def test_rate_comes_before_the_access_list(env: AtlasEnv) -> None:
    env.atlas.behaviour.rate_capacity = 1
    env.atlas.world.keys["sandboxk"].access_list = ["203.0.113.0/24"]

    codes = [(await env.v2.get(RUNNING)).json()["errorCode"] for _ in range(2)]

    assert codes == ["IP_ADDRESS_NOT_ON_ACCESS_LIST", "RATE_LIMITED_TOKEN_BUCKET"]


async def test_key_without_any_role_in_the_project_is_not_authenticated(env: AtlasEnv) -> None:
    env.atlas.world.add_key("stranger", "secret", {})

    answer = await speaker(env, "stranger", "secret").get(RUNNING)

    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers
    assert "errorCode" not in answer.json()


async def test_reading_jobs_needs_more_than_reading_the_project(env: AtlasEnv) -> None:
    env.atlas.world.add_key("reader", "secret", {PROJECT_ID: {Role.READ_ONLY}})
    reader = speaker(env, "reader", "secret")

    assert (await reader.get(GROUP)).status_code == 200
    assert (await reader.get(RUNNING)).json()["errorCode"] == "USER_UNAUTHORIZED"


async def test_exhausted_rate_limit_has_retry_after(env: AtlasEnv) -> None:
    env.atlas.behaviour.rate_capacity = 2
    env.atlas.behaviour.rate_refill = 1

    answers = [await env.v2.get(RUNNING) for _ in range(3)]
    path = f"/api/atlas/v2{RUNNING}"

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "60"
    assert answers[2].headers["RateLimit-Remaining"] == "0"
    assert answers[2].json()["detail"] == (
        f"Rate limit exceeded for {path}. Please retry after 60 seconds. "
        "Request capacity: 2. Refill rate: 1 per 60 seconds."
    )
    assert answers[2].json()["parameters"] == [path, 60, 2, 1, 60]

    env.clock.advance(60)
    assert (await env.v2.get(RUNNING)).status_code == 200


async def test_v1_has_its_older_rate_limit_error(env: AtlasEnv) -> None:
    env.atlas.behaviour.rate_capacity = 1
    await env.v1.get(RUNNING)

    answer = await env.v1.get(RUNNING)

    assert (answer.status_code, answer.json()["errorCode"]) == (429, "RATE_LIMITED")
    assert "Retry-After" not in answer.headers
