"""Reading: documents of both versions, pages, envelopes, and versions by header."""

from typing import Literal

import pytest

from bot.sandbox.atlas import PROJECT_ID, Actor, FakeAtlasServer, ManualClock
from bot.sandbox.atlas.clock import instant
from tests.integration.sandbox_atlas.conftest import GROUP, Caller, job_path

CLUSTERS = "application/vnd.atlas.2024-08-05+json"
JOBS = f"{GROUP}/clusters/prod-eu/backup/restoreJobs"
LIVE = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80102")
RUNNING = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80101")
ALWAYS = {
    *("cancelled", "deliveryType", "deliveryUrl", "desiredTimestamp", "expired", "failed"),
    *("id", "links", "snapshotId", "timestamp"),
}
TARGET = {"targetClusterName", "targetGroupId"}
POINT_IN_TIME = {"oplogInc", "oplogTs", "pointInTimeUTCSeconds"}


@pytest.mark.parametrize(
    ("cluster", "number", "more"),
    [
        ("prod-eu", "101", set()),
        ("prod-eu", "102", {"expiresAt", "privateDownloadDeliveryUrls"}),
        ("prod-eu", "103", TARGET | {"targetDeploymentItemName"}),
        ("prod-eu", "104", TARGET | {"targetDeploymentItemName", "finishedAt"}),
        ("prod-eu", "105", set()),
        ("prod-us", "202", TARGET | POINT_IN_TIME),
        ("prod-us", "203", {"expiresAt"}),
        ("prod-us", "204", set()),
        ("orders-sharded", "401", {"components", "expiresAt"}),
        ("orders-sharded", "402", set()),
        ("orders-sharded", "403", {"components"}),
    ],
)
async def test_job_has_the_keys_of_its_type_and_state_in_order(
    v2: Caller, cluster: str, number: str, more: set[str]
) -> None:
    answer = await v2.get(job_path(cluster, f"65f0a1c2d3e4f5a6b7c80{number}"))

    assert list(answer.json()) == sorted(ALWAYS | more)


async def test_download_reads_as_recorded(atlas: FakeAtlasServer, v2: Caller) -> None:
    job = (await v2.get(RUNNING)).json()
    root = f"{atlas.url}/api/atlas/v2/groups/{PROJECT_ID}"

    assert job["deliveryUrl"] == []
    assert job["desiredTimestamp"] == {"increment": None, "time": None, "date": None}
    assert job["timestamp"] == "2026-11-24T07:56:00Z"
    assert job["links"] == [
        {"href": f"{atlas.url}/api/atlas/v2{RUNNING}", "rel": "self"},
        {
            "href": f"{root}/clusters/prod-eu/backup/snapshots/{job['snapshotId']}",
            "rel": "https://cloud.mongodb.com/snapshot",
        },
        {"href": f"{root}/clusters/prod-eu", "rel": "https://cloud.mongodb.com/cluster"},
        {"href": root, "rel": "https://cloud.mongodb.com/group"},
    ]


async def test_v1_has_its_own_relations_and_no_desired_timestamp(v1: Caller) -> None:
    answer = await v1.get(RUNNING)

    assert answer.headers["Content-Type"] == "application/json"
    assert "RateLimit-Limit" not in answer.headers
    assert [link["rel"] for link in answer.json()["links"]] == [
        "self",
        "http://mms.mongodb.com/snapshot",
        "http://mms.mongodb.com/cluster",
        "http://mms.mongodb.com/group",
    ]
    assert "desiredTimestamp" not in answer.json()


async def test_list_is_newest_first_with_its_count(atlas: FakeAtlasServer, v2: Caller) -> None:
    page = (await v2.get(JOBS)).json()

    assert [job["id"][-3:] for job in page["results"]] == ["101", "103", "102", "104", "105"]
    assert page["totalCount"] == 5
    query = "includeCount=true&pageNum=1&itemsPerPage=100"
    assert page["links"] == [{"href": f"{atlas.url}/api/atlas/v2{JOBS}?{query}", "rel": "self"}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("pageNum", number) for number in ("0", "-1", "two", "9" * 5000, "2147483648", "١")),
        ("pageNum", ""),
        ("itemsPerPage", "0"),
        ("itemsPerPage", "501"),
        ("itemsPerPage", "²"),
        ("includeCount", "yes"),
        ("verbose", "true"),
        ("envelope", "on"),
    ],
)
async def test_query_parameter_out_of_bounds_is_named(v2: Caller, name: str, value: str) -> None:
    answer = await v2.get(JOBS, **{name: value})

    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "INVALID_QUERY_PARAMETER"
    assert answer.json()["detail"] == f"Invalid query parameter {name} specified."
    assert answer.json()["parameters"] == [name]


@pytest.mark.parametrize("key", ["content", "envelope"])
async def test_envelope_holds_status_and_entity(
    atlas: FakeAtlasServer, v2: Caller, key: Literal["content", "envelope"]
) -> None:
    atlas.behaviour.envelope_key = key

    answer = (await v2.get(RUNNING, envelope="true")).json()

    assert list(answer) == ["status", key]
    assert answer["status"] == 200
    assert answer[key]["id"] == "65f0a1c2d3e4f5a6b7c80101"


@pytest.mark.parametrize(("hides", "status"), [(True, 200), (False, 404)])
async def test_enveloped_error_hides_its_status_unless_configured(
    atlas: FakeAtlasServer, v2: Caller, *, hides: bool, status: int
) -> None:
    atlas.behaviour.envelope_hides_status = hides

    answer = await v2.get(job_path("prod-eu", "a" * 24), envelope="true")

    assert (answer.status_code, answer.json()["status"]) == (status, 404)
    assert answer.json()["content"]["errorCode"] == "RESTORE_JOB_NOT_FOUND"


@pytest.mark.parametrize(
    ("kind", "status", "body"), [("status", 200, b'{"status":204}'), ("bare", 204, b"")]
)
async def test_enveloped_cancel_answers_204_in_its_body_or_bare(
    atlas: FakeAtlasServer, v2: Caller, kind: Literal["status", "bare"], status: int, body: bytes
) -> None:
    atlas.behaviour.enveloped_delete = kind

    answer = await v2.delete(RUNNING, envelope="true")

    assert (answer.status_code, answer.content) == (status, body)


async def test_clusters_are_listed_by_their_present_version_without_flex(v2: Caller) -> None:
    answer = await v2.get(f"{GROUP}/clusters", accept=CLUSTERS)

    assert answer.headers["Content-Type"] == f"{CLUSTERS};charset=utf-8"
    assert answer.headers["RateLimit-Limit"] == "10000"
    assert [cluster["name"] for cluster in answer.json()["results"]] == [
        "prod-eu",
        "prod-us",
        "staging-eu",
        "orders-sharded",
    ]


async def test_v2_requires_an_existing_version(v2: Caller) -> None:
    answer = await v2.get(RUNNING, accept="application/vnd.atlas.2022-12-31+json")

    assert (answer.status_code, answer.json()["errorCode"]) == (406, "INVALID_VERSION_DATE")
    assert answer.headers["Content-Type"] == "application/json"
    assert "RateLimit-Limit" not in answer.headers


async def test_download_makes_an_event_that_shows_after_the_delay(
    atlas: FakeAtlasServer, clock: ManualClock, v2: Caller
) -> None:
    atlas.behaviour.event_delay = 10
    home = atlas.world.projects[PROJECT_ID].clusters["prod-eu"]
    job = atlas.world.add_job(home, now=clock(), by=Actor.api_key("abcdwxyz"))
    query = {"minDate": instant(clock()), "eventType": "CPS_RESTORE_REQUESTED_AUDIT"}
    assert (await v2.get(f"{GROUP}/events", **query)).json()["results"] == []
    clock.advance(10)
    (event,) = (await v2.get(f"{GROUP}/events", includeCount="false", **query)).json()["results"]
    assert (event["publicKey"], event["created"]) == ("abcdwxyz", instant(job.created_at))
    assert event["id"][:18] == job.id[:18]


async def test_unknown_event_type_is_rejected(v2: Caller) -> None:
    response = await v2.get(f"{GROUP}/events", eventType="NO_SUCH_EVENT")
    assert response.json()["errorCode"] == "INVALID_ENUM_VALUE"
