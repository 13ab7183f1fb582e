"""The fake Atlas: a job as recorded, the event of its start, and what cannot be cancelled."""

from collections.abc import AsyncIterator

import httpx
import pytest

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, Actor, FakeAtlasServer
from bot.sandbox.atlas.clock import instant
from tests.support.clock import FakeClock

GROUP = f"/groups/{PROJECT_ID}"


def job_path(cluster: str, job_id: str) -> str:
    return f"{GROUP}/clusters/{cluster}/backup/restoreJobs/{job_id}"


RUNNING = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80101")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def atlas(clock: FakeClock) -> AsyncIterator[FakeAtlasServer]:
    async with FakeAtlasServer(clock=clock) as running:
        yield running


@pytest.fixture
async def v2(atlas: FakeAtlasServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"{atlas.url}/api/atlas/v2",
        headers={"Accept": "application/vnd.atlas.2023-01-01+json"},
        auth=httpx.DigestAuth(PUBLIC_KEY, PRIVATE_KEY),
        trust_env=False,
        timeout=20,
    ) as client:
        yield client


async def test_download_reads_as_recorded(atlas: FakeAtlasServer, v2: httpx.AsyncClient) -> None:
    job = (await v2.get(RUNNING)).json()
    root = f"{atlas.url}/api/atlas/v2{GROUP}"

    assert job["deliveryUrl"] == []
    assert job["desiredTimestamp"] == {"increment": None, "time": None, "date": None}
    assert job["timestamp"] == "2026-11-25T10:56:00Z"
    assert job["links"] == [
        {"href": f"{atlas.url}/api/atlas/v2{RUNNING}", "rel": "self"},
        {
            "href": f"{root}/clusters/prod-eu/backup/snapshots/{job['snapshotId']}",
            "rel": "https://cloud.mongodb.com/snapshot",
        },
        {"href": f"{root}/clusters/prod-eu", "rel": "https://cloud.mongodb.com/cluster"},
        {"href": root, "rel": "https://cloud.mongodb.com/group"},
    ]


async def test_download_makes_an_event_that_shows_after_the_delay(
    atlas: FakeAtlasServer, clock: FakeClock, v2: httpx.AsyncClient
) -> None:
    atlas.behaviour.event_delay = 10
    home = atlas.world.projects[PROJECT_ID].clusters["prod-eu"]
    job = atlas.world.add_job(home, now=clock(), by=Actor({"publicKey": "abcdwxyz"}))
    query = {"minDate": instant(clock()), "eventType": "CPS_RESTORE_REQUESTED_AUDIT"}
    assert (await v2.get(f"{GROUP}/events", params=query)).json()["results"] == []
    clock.advance(10)
    (event,) = (await v2.get(f"{GROUP}/events", params=query)).json()["results"]
    assert (event["publicKey"], event["created"]) == ("abcdwxyz", instant(job.created_at))
    assert event["id"][:18] == job.id[:18]


@pytest.mark.parametrize(
    ("cluster", "job_id", "status", "code"),
    [
        ("prod-eu", "65f0a1c2d3e4f5a6b7c80103", 400, "CANNOT_CANCEL_AUTOMATED_RESTORE"),
        ("prod-us", "65f0a1c2d3e4f5a6b7c80202", 400, "CANNOT_CANCEL_AUTOMATED_RESTORE"),
        (
            *("orders-sharded", "65f0a1c2d3e4f5a6b7c80402"),
            *(405, "ATLAS_BACKUP_CANCEL_SHARD_RESTORE_JOB_NOT_ALLOWED"),
        ),
        ("prod-us", "65f0a1c2d3e4f5a6b7c80203", 400, "VALIDATION_ERROR"),
        ("prod-us", "65f0a1c2d3e4f5a6b7c80204", 400, "VALIDATION_ERROR"),
        ("prod-eu", "a" * 24, 404, "RESTORE_JOB_NOT_FOUND"),
        ("prod-eu", "A" * 24, 404, "INVALID_JOB_ID"),
        ("nowhere", "a" * 24, 404, "CLUSTER_NOT_FOUND"),
        ("sketch-flex", "a" * 24, 400, "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API"),
    ],
)
async def test_everything_else_is_rejected_with_its_code(
    atlas: FakeAtlasServer,
    v2: httpx.AsyncClient,
    cluster: str,
    job_id: str,
    *,
    status: int,
    code: str,
) -> None:
    answer = await v2.delete(job_path(cluster, job_id))

    assert (answer.status_code, answer.json()["error"]) == (status, status)
    assert answer.json()["errorCode"] == answer.headers["X-Error-Code"] == code
    assert list(answer.json()) == ["detail", "error", "errorCode", "parameters", "reason"]
    assert atlas.world.cancellations == []
