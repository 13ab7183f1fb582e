"""DELETE on jobs of every type and state, in both versions, and by the page's own curl line."""

import pytest

from tests.integration.sandbox_atlas.conftest import AtlasEnv, job_path

AUTOMATED = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80103")
AUTOMATED_FINISHED = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80104")
POINT_IN_TIME = job_path("prod-us", "65f0a1c2d3e4f5a6b7c80202")
EXPIRED = job_path("prod-us", "65f0a1c2d3e4f5a6b7c80203")
FAILED = job_path("prod-us", "65f0a1c2d3e4f5a6b7c80204")
SHARD = job_path("orders-sharded", "65f0a1c2d3e4f5a6b7c80402")


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
