"""Reading: documents of both versions, pages, envelopes, pretty, and versions by header."""

import json
from datetime import UTC, datetime
from typing import Literal

import httpx
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


async def test_shard_that_is_not_made_yet_has_no_link(v2: Caller) -> None:
    job = (await v2.get(job_path("orders-sharded", "65f0a1c2d3e4f5a6b7c80403"))).json()

    assert job["components"] == [
        {"downloadUrl": None, "replicaSetName": "shard-0"},
        {"downloadUrl": None, "replicaSetName": "shard-1"},
    ]


async def test_link_expires_after_an_hour(v2: Caller, clock: ManualClock) -> None:
    clock.advance(3600)

    job = (await v2.get(LIVE)).json()

    assert (job["expired"], job["deliveryUrl"]) == (True, [])


async def test_list_is_newest_first_with_its_count(atlas: FakeAtlasServer, v2: Caller) -> None:
    page = (await v2.get(JOBS)).json()

    assert [job["id"][-3:] for job in page["results"]] == ["101", "103", "102", "104", "105"]
    assert page["totalCount"] == 5
    query = "includeCount=true&pageNum=1&itemsPerPage=100"
    assert page["links"] == [{"href": f"{atlas.url}/api/atlas/v2{JOBS}?{query}", "rel": "self"}]


async def test_pages_link_to_their_neighbours(atlas: FakeAtlasServer, v2: Caller) -> None:
    page = (await v2.get(JOBS, itemsPerPage="2", pageNum="2")).json()
    url = f"{atlas.url}/api/atlas/v2{JOBS}?includeCount=true"

    assert [job["id"][-3:] for job in page["results"]] == ["102", "104"]
    assert page["links"] == [
        {"href": f"{url}&pageNum=2&itemsPerPage=2", "rel": "self"},
        {"href": f"{url}&itemsPerPage=2&pageNum=1", "rel": "previous"},
        {"href": f"{url}&itemsPerPage=2&pageNum=3", "rel": "next"},
    ]


async def test_following_next_reaches_every_job_once(v2: Caller) -> None:
    seen: list[str] = []
    query = {"itemsPerPage": "2"}
    for _ in range(3):
        page = (await v2.get(JOBS, **query)).json()
        seen += [job["id"] for job in page["results"]]
        following = [link["href"] for link in page["links"] if link["rel"] == "next"]
        query = dict(httpx.URL(following[0]).params) if following else {}

    assert len(seen) == len(set(seen)) == 5
    assert query == {}


async def test_page_after_the_last_is_empty(v2: Caller) -> None:
    page = (await v2.get(JOBS, pageNum="9")).json()

    assert page["results"] == []
    assert [link["rel"] for link in page["links"]] == ["self", "previous"]


async def test_count_can_be_left_out(v2: Caller) -> None:
    assert "totalCount" not in (await v2.get(JOBS, includeCount="false")).json()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("pageNum", number) for number in ("0", "-1", "two", "9" * 5000, "2147483648", "١")),
        ("pageNum", ""),
        ("itemsPerPage", "0"),
        ("itemsPerPage", "501"),
        ("itemsPerPage", "²"),
        ("includeCount", "yes"),
        ("pretty", "1"),
        ("envelope", "on"),
    ],
)
async def test_query_parameter_out_of_bounds_is_named(v2: Caller, name: str, value: str) -> None:
    answer = await v2.get(JOBS, **{name: value})

    assert answer.status_code == 400
    assert answer.json()["errorCode"] == "INVALID_QUERY_PARAMETER"
    assert answer.json()["detail"] == f"Invalid query parameter {name} specified."
    assert answer.json()["parameters"] == [name]


async def test_unknown_query_parameters_are_ignored_by_default(
    atlas: FakeAtlasServer, v2: Caller
) -> None:
    assert (await v2.get(JOBS, verbose="true")).status_code == 200

    atlas.behaviour.reject_unknown_query = True
    assert (await v2.get(JOBS, verbose="true")).status_code == 400


async def test_pretty_indents_and_without_it_there_is_no_spare_space(v2: Caller) -> None:
    pretty, plain = await v2.get(RUNNING, pretty="true"), await v2.get(RUNNING)

    assert pretty.text.startswith('{\n  "cancelled" : false,\n')
    assert plain.text == json.dumps(plain.json(), separators=(",", ":"))


@pytest.mark.parametrize("key", ["content", "envelope"])
async def test_envelope_holds_status_and_entity(
    atlas: FakeAtlasServer, v2: Caller, key: Literal["content", "envelope"]
) -> None:
    atlas.behaviour.envelope_key = key

    answer = (await v2.get(RUNNING, envelope="true")).json()

    assert list(answer) == ["status", key]
    assert answer["status"] == 200
    assert answer[key]["id"] == "65f0a1c2d3e4f5a6b7c80101"


async def test_enveloped_page_gains_a_status(v2: Caller) -> None:
    answer = (await v2.get(JOBS, envelope="true", itemsPerPage="2")).json()

    assert list(answer) == ["status", "links", "results", "totalCount"]
    assert "envelope=true" in answer["links"][1]["href"]


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


async def test_projects_are_those_with_a_role(atlas: FakeAtlasServer, v2: Caller) -> None:
    atlas.world.add_project("somebody-elses")

    page = (await v2.get("/groups")).json()

    assert [(project["id"], project["name"]) for project in page["results"]] == [
        (PROJECT_ID, "shop-prod")
    ]


async def test_clusters_are_listed_by_their_present_version_without_flex(v2: Caller) -> None:
    answer = await v2.get(f"{GROUP}/clusters", accept=CLUSTERS)

    assert answer.headers["Content-Type"] == f"{CLUSTERS};charset=utf-8"
    assert answer.headers["RateLimit-Limit"] == "10000"
    assert "Sunset" not in answer.headers
    assert [cluster["name"] for cluster in answer.json()["results"]] == [
        "prod-eu",
        "prod-us",
        "staging-eu",
        "orders-sharded",
    ]
    assert "replicationSpecs" in answer.json()["results"][0]


async def test_flex_can_be_listed_among_clusters(atlas: FakeAtlasServer, v2: Caller) -> None:
    atlas.behaviour.flex_in_cluster_list = True

    answer = await v2.get(f"{GROUP}/clusters", accept=CLUSTERS)

    assert answer.json()["results"][-1]["name"] == "sketch-flex"


@pytest.mark.parametrize("version", ["2023-01-01", "2023-02-01"])
async def test_older_versions_of_clusters_have_a_sunset_header(v2: Caller, version: str) -> None:
    answer = await v2.get(f"{GROUP}/clusters", accept=f"application/vnd.atlas.{version}+json")

    assert answer.status_code == 200
    assert answer.headers["Sunset"] == "Thu, 01 Jul 2027 00:00:00 GMT"
    assert answer.headers["Deprecation"].endswith("00:00:00 GMT")
    assert "providerSettings" in answer.json()["results"][0]


async def test_version_past_its_sunset_is_gone(v2: Caller, clock: ManualClock) -> None:
    clock.now = datetime(2027, 7, 1, tzinfo=UTC)

    answer = await v2.get(f"{GROUP}/clusters")

    assert (answer.status_code, answer.json()["errorCode"]) == (410, "VERSION_GONE")


async def test_one_cluster_can_be_read_in_both_apis(v1: Caller, v2: Caller) -> None:
    path = f"{GROUP}/clusters/prod-us"

    assert (await v2.get(path, accept=CLUSTERS)).json()["name"] == "prod-us"
    assert (await v1.get(path)).json()["links"][1]["rel"] == "http://mms.mongodb.com/restoreJobs"


async def test_v2_requires_an_existing_version(v2: Caller) -> None:
    answer = await v2.get(RUNNING, accept="application/vnd.atlas.2022-12-31+json")

    assert (answer.status_code, answer.json()["errorCode"]) == (406, "INVALID_VERSION_DATE")
    assert answer.headers["Content-Type"] == "application/json"
    assert "RateLimit-Limit" not in answer.headers


async def test_bad_version_can_be_a_bad_request(atlas: FakeAtlasServer, v2: Caller) -> None:
    atlas.behaviour.version_error_status = 400

    assert (await v2.get(RUNNING, accept="application/json")).status_code == 400


async def test_flex_clusters_have_resources_of_their_own(v2: Caller) -> None:
    flex = "application/vnd.atlas.2024-11-13+json"
    home = f"{GROUP}/flexClusters"
    jobs = (await v2.get(f"{home}/sketch-flex/backup/restoreJobs", accept=flex)).json()
    one = jobs["results"][0]
    wrong = await v2.get(f"{home}/prod-eu/backup/restoreJobs", accept=flex)

    assert (await v2.get(home, accept=flex)).json()["results"][0]["name"] == "sketch-flex"
    assert (await v2.get(f"{home}/sketch-flex", accept=flex)).json()["stateName"] == "IDLE"
    assert (one["deliveryType"], one["status"]) == ("DOWNLOAD", "RUNNING")
    assert (
        await v2.get(f"{home}/sketch-flex/backup/restoreJobs/{one['id']}", accept=flex)
    ).json() == one
    assert wrong.json()["errorCode"] == "CANNOT_USE_NON_FLEX_CLUSTER_IN_FLEX_API"


async def test_v1_has_no_flex(v1: Caller) -> None:
    answer = await v1.get(f"{GROUP}/flexClusters")

    assert (answer.status_code, answer.json()["errorCode"]) == (404, "RESOURCE_NOT_FOUND")


async def test_head_is_get_without_a_body(v2: Caller) -> None:
    answer = await v2.call("HEAD", RUNNING)

    assert (answer.status_code, answer.content) == (200, b"")


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
