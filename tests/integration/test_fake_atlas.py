"""The fake Atlas: jobs and events as recorded, refusals, and each protocol of the bot's client."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from pydantic import SecretStr

from bot.atlas import ApiVersion, Credentials, DigestKey, JobRef, ServiceAccount
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, Actor, Behaviour, FakeAtlasServer
from bot.sandbox.atlas.clock import instant
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET
from tests.support.atlas_client import AtlasClient
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


async def test_pretty_and_envelope_change_the_form_of_the_documented_answer(
    v2: httpx.AsyncClient,
) -> None:
    plain = await v2.get(RUNNING)
    pretty = await v2.get(RUNNING, params={"pretty": "true"})
    enveloped = await v2.get(job_path("prod-eu", "a" * 24), params={"envelope": "true"})
    refused = await v2.get(RUNNING, params={"pretty": "perhaps"})

    assert (b"\n" in plain.content, b"\n" in pretty.content) == (False, True)
    assert pretty.json() == plain.json()
    assert (enveloped.status_code, enveloped.json()["status"]) == (200, 404)
    assert enveloped.json()["content"]["errorCode"] == "RESTORE_JOB_NOT_FOUND"
    assert refused.json()["errorCode"] == "INVALID_QUERY_PARAMETER"


KEY = DigestKey(key_id=PUBLIC_KEY, secret=SecretStr(PRIVATE_KEY))


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """What a client may choose, and what Atlas may do with it."""

    version: ApiVersion = ApiVersion.V2
    credentials: Credentials = KEY
    envelope: bool = False
    behaviour: Behaviour = field(default_factory=Behaviour)


PROTOCOLS = {
    "v2": Protocol(),
    "v1.0": Protocol(version=ApiVersion.V1),
    "service account": Protocol(
        credentials=ServiceAccount(key_id=CLIENT_ID, secret=SecretStr(CLIENT_SECRET))
    ),
    "envelope": Protocol(envelope=True),
    "envelope of v1.0, by its other key": Protocol(
        version=ApiVersion.V1, envelope=True, behaviour=Behaviour(envelope_key="envelope")
    ),
    "envelope, and a DELETE without one": Protocol(
        envelope=True, behaviour=Behaviour(enveloped_delete="bare")
    ),
}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
async def test_bots_client_reads_and_cancels_once_with_each_protocol(protocol: Protocol) -> None:
    ref = JobRef(PROJECT_ID, "prod-eu", RUNNING.rpartition("/")[2])
    async with (
        FakeAtlasServer(behaviour=protocol.behaviour) as atlas,
        AtlasClient(
            protocol.credentials,
            base_url=atlas.url,
            version=protocol.version,
            envelope=protocol.envelope,
        ) as client,
    ):
        before = await client.restore_job(ref)
        await client.cancel_restore_job(ref)
        after = await client.restore_job(ref)
        listed = await client.restore_jobs(PROJECT_ID, "prod-eu")

    assert (before.cancelled, after.cancelled) == (False, True)
    assert [job.cancelled for job in listed if job.id == ref.job_id] == [True]
    assert (len(atlas.deletes(ref.job_id)), atlas.world.cancellations) == (1, [ref.job_id])
