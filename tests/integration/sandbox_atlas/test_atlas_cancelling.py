"""DELETE on jobs of every type and state, in both versions, and by the page's own curl line."""

import asyncio

import pytest

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY
from tests.integration.sandbox_atlas.conftest import AtlasEnv, job_path
from tests.support.required_programs import needs

RUNNING = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80101")
LIVE = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80102")
AUTOMATED = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80103")
AUTOMATED_FINISHED = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80104")
CANCELLED = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80105")
POINT_IN_TIME = job_path("prod-us", "65f0a1c2d3e4f5a6b7c80202")
EXPIRED = job_path("prod-us", "65f0a1c2d3e4f5a6b7c80203")
FAILED = job_path("prod-us", "65f0a1c2d3e4f5a6b7c80204")
SHARDED = job_path("orders-sharded", "65f0a1c2d3e4f5a6b7c80401")
SHARD = job_path("orders-sharded", "65f0a1c2d3e4f5a6b7c80402")


@pytest.mark.parametrize("path", [RUNNING, LIVE, SHARDED])
async def test_download_is_cancelled_without_a_body(env: AtlasEnv, path: str) -> None:
    answer = await env.v2.delete(path)

    assert answer.status_code == 204
    assert answer.content == b""
    assert "Content-Length" not in answer.headers
    assert answer.headers["Content-Type"] == "application/vnd.atlas.2023-01-01+json;charset=utf-8"
    assert answer.headers["RateLimit-Remaining"] == "1199"
    assert env.atlas.calls[-1].effect


async def test_cancelled_job_stays_readable_without_its_link(env: AtlasEnv) -> None:
    await env.v2.delete(LIVE)

    job = (await env.v2.get(LIVE)).json()

    assert job["cancelled"] is True
    assert job["deliveryUrl"] == []
    assert "expiresAt" not in job
    assert "privateDownloadDeliveryUrls" not in job


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (AUTOMATED, 400, "CANNOT_CANCEL_AUTOMATED_RESTORE"),
        (AUTOMATED_FINISHED, 400, "CANNOT_CANCEL_AUTOMATED_RESTORE"),
        (POINT_IN_TIME, 400, "CANNOT_CANCEL_AUTOMATED_RESTORE"),
        (SHARD, 405, "ATLAS_BACKUP_CANCEL_SHARD_RESTORE_JOB_NOT_ALLOWED"),
        (EXPIRED, 400, "VALIDATION_ERROR"),
        (FAILED, 400, "VALIDATION_ERROR"),
        (job_path("prod-eu", "a" * 24), 404, "RESTORE_JOB_NOT_FOUND"),
        (job_path("prod-eu", "not-an-id"), 404, "INVALID_JOB_ID"),
        (job_path("prod-eu", "A" * 24), 404, "INVALID_JOB_ID"),
        (job_path("nowhere", "a" * 24), 404, "CLUSTER_NOT_FOUND"),
        (job_path("sketch-flex", "a" * 24), 400, "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API"),
    ],
)
async def test_everything_else_is_rejected_with_its_code(
    env: AtlasEnv, path: str, status: int, code: str
) -> None:
    answer = await env.v2.delete(path)

    assert answer.status_code == status
    assert answer.json()["errorCode"] == code
    assert answer.json()["error"] == status
    assert answer.headers["X-Error-Code"] == code
    assert list(answer.json()) == ["detail", "error", "errorCode", "parameters", "reason"]
    assert env.atlas.world.cancellations == []


@pytest.mark.parametrize(
    ("path", "name", "choice", "status"),
    [
        (CANCELLED, "cancelled_again", "no-change", 204),
        (CANCELLED, "cancelled_again", "refuse", 400),
        (EXPIRED, "over", "no-change", 204),
    ],
)
async def test_cancel_of_an_ended_job_changes_nothing_and_is_answered_as_configured(
    env: AtlasEnv, path: str, name: str, choice: str, status: int
) -> None:
    setattr(env.atlas.behaviour, name, choice)

    assert (await env.v2.delete(path)).status_code == status
    assert env.atlas.world.cancellations == []


async def test_documented_curl_command_cancels(env: AtlasEnv) -> None:
    project = env.atlas.world.projects[PROJECT_ID]
    mine = env.atlas.world.add_cluster(project, "MyCluster")
    job = env.atlas.world.add_job(mine, job_id="5b622f7087d9d6039fafe03f")
    target = (
        f"{env.atlas.url}/api/atlas/v1.0/groups/5b6212af90dc76637950a2c6/clusters/MyCluster"
        "/backup/restoreJobs/5b622f7087d9d6039fafe03f"
    )
    line = (
        "--user", f"{PUBLIC_KEY}:{PRIVATE_KEY}", "--digest", "--include",
        "--header", "Accept: application/json",
        "--header", "Content-Type: application/json",
        "--request", "DELETE", target,
    )  # fmt: skip
    curl = await asyncio.create_subprocess_exec(
        needs("curl"), *line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(curl.communicate(), 20)

    assert curl.returncode == 0
    assert b"HTTP/1.1 204 No Content" in output
    assert job.cancelled
    assert [call.status for call in env.atlas.calls] == [401, 204]
