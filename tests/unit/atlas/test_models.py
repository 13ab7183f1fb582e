"""Restore jobs as values: tolerant of unknown fields, and without any download link."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.atlas import (
    DeliveryType,
    InvalidName,
    JobRef,
    RestoreJob,
    is_cluster_name,
    is_object_id,
)
from tests.unit.atlas.strict_server import CLUSTER, JOB, PROJECT, download_job

EXPIRY = "2026-11-01T12:00:00Z"
USED_PART = [{"downloadUrl": None, "replicaSetName": "shard-0"}]
LINK = "https://restore-5b622f.a1b2c.mongodb.net:27017/S3CR3T-0f7e/restore-5b62.tar.gz"


def read(**changes: object) -> RestoreJob:
    return RestoreJob.model_validate(download_job(**changes))


def test_download_job_is_parsed() -> None:
    assert read(expiresAt="2026-11-01T12:00:00Z") == RestoreJob(
        id=JOB,
        delivery_type=DeliveryType.DOWNLOAD,
        cluster_name=CLUSTER,
        snapshot_id="5b622f7087d9d6039fafe000",
        snapshot_time=datetime(2026, 11, 1, 10, tzinfo=UTC),
        expires_at=datetime(2026, 11, 1, 12, tzinfo=UTC),
    )


def test_automated_job_has_its_target() -> None:
    job = read(
        deliveryType="automated",
        targetClusterName="staging",
        targetGroupId=PROJECT,
        targetDeploymentItemName="atlas-72ck1q",
        finishedAt="2026-11-01T11:00:00Z",
    )

    assert job.target_cluster_name == "staging"
    assert (job.delivery_type, job.is_over) == (DeliveryType.AUTOMATED, True)


V2, V1 = "https://cloud.mongodb.com", "http://mms.mongodb.com"
CLUSTER_HREF = f"https://cloud.example/api/atlas/v2/groups/{PROJECT}/clusters/prod-eu"
SELF_HREF = f"{CLUSTER_HREF}/backup/restoreJobs/{JOB}"


@pytest.mark.parametrize(
    ("links", "cluster"),
    [
        ([{"rel": f"{V2}/cluster", "href": CLUSTER_HREF}], "prod-eu"),
        ([{"rel": f"{V1}/cluster", "href": f"{CLUSTER_HREF}/?pretty=true"}], "prod-eu"),
        ([{"rel": "cluster", "href": CLUSTER_HREF}], "prod-eu"),
        ([{"rel": "self", "href": SELF_HREF}], "prod-eu"),
        ([{"rel": "cluster", "href": 7}, {"rel": "self", "href": SELF_HREF}], "prod-eu"),
        ([{"rel": f"{V2}/snapshot", "href": f"{CLUSTER_HREF}/backup/snapshots/{JOB}"}], None),
        ([{"rel": "cluster", "href": f"{V2}/clusters/-bad"}], None),
        ([{"rel": "cluster", "href": f"{V2}/flexClusters/flexible"}], None),
        ([{"rel": "self", "href": f"{CLUSTER_HREF}/backup/exports/{JOB}"}], None),
        ([None, [], {}, {"href": CLUSTER_HREF}], None),
        ("text", None),
        (None, None),
    ],
)
def test_cluster_is_the_one_that_the_jobs_links_name(links: object, cluster: str | None) -> None:
    assert read(links=links, clusterName="other").cluster_name == cluster


@pytest.mark.parametrize(
    ("changes", "live"),
    [
        ({"deliveryUrl": [LINK]}, True),
        ({"deliveryUrl": LINK}, True),
        ({"deliveryUrl": []}, False),
        ({"deliveryUrl": ""}, False),
        ({"deliveryUrl": [""]}, False),
        ({"deliveryUrl": None}, False),
        ({"components": [{"downloadUrl": LINK, "replicaSetName": "s0"}]}, True),
        ({"components": [{"downloadUrl": None, "replicaSetName": "s0"}]}, False),
        ({"components": [{"privateDownloadDeliveryUrls": [{"deliveryUrl": LINK}]}]}, True),
        ({"privateDownloadDeliveryUrls": [{"deliveryUrl": LINK, "endpointId": "vpce-1"}]}, True),
        ({"privateDownloadDeliveryUrls": []}, False),
    ],
)
def test_link_is_detected_in_each_place(changes: dict[str, object], live: bool) -> None:
    assert read(**changes).link_is_live is live


@pytest.mark.parametrize(
    ("changes", "over"),
    [
        ({}, False),
        ({"deliveryUrl": [LINK]}, False),
        ({"deliveryUrl": [], "expiresAt": EXPIRY}, False),
        ({"components": USED_PART, "expiresAt": EXPIRY}, False),
        ({"expired": True}, True),
        ({"failed": True}, True),
        ({"cancelled": True, "deliveryUrl": [LINK]}, True),
        ({"finishedAt": "2026-11-01T11:00:00Z"}, True),
    ],
)
def test_download_is_over_by_a_flag_or_an_end_and_not_by_its_link(
    changes: dict[str, object], over: bool
) -> None:
    job = read(**changes)

    assert (job.is_over, job.can_be_cancelled) == (over, not over)


@pytest.mark.parametrize("kind", ["automated", "pointInTime", "teleported"])
def test_only_downloads_can_be_cancelled(kind: str) -> None:
    job = read(deliveryType=kind, expiresAt=EXPIRY)

    assert job.link_expires_at is None
    assert (str(job.delivery_type), job.can_be_cancelled, job.is_over) == (kind, False, False)


_keys = st.sampled_from(
    [
        *("id", "snapshotId", "timestamp", "expiresAt", "finishedAt", "cancelled", "expired"),
        *("deliveryType", "deliveryUrl", "privateDownloadDeliveryUrls", "components"),
        "targetClusterName",
    ]
)
_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_json = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3)
)


@given(st.dictionaries(_keys | st.text(max_size=8), _json, max_size=6) | _json)
def test_any_json_is_a_job_or_a_validation_error(payload: object) -> None:
    data = download_job() | payload if isinstance(payload, dict) else payload
    try:
        job = RestoreJob.model_validate(data)
    except ValidationError:
        return
    assert is_object_id(job.id)
    assert not (job.is_over and job.can_be_cancelled)


_places = st.sampled_from(
    [
        {"deliveryUrl": LINK},
        {"deliveryUrl": [LINK]},
        {"deliveryUrl": {"deliveryUrl": LINK}},
        {"deliveryUrl": [[LINK]]},
        {"components": [{"downloadUrl": LINK}]},
        {"components": LINK},
        {"components": [{"privateDownloadDeliveryUrls": [{"deliveryUrl": LINK}]}]},
        {"privateDownloadDeliveryUrls": [{"deliveryUrl": LINK, "endpointId": LINK}]},
        {"unknownKey": {"mirror": LINK}},
        {"links": [{"rel": "self", "href": LINK}]},
    ]
)


@given(_places, st.dictionaries(_keys, _json, max_size=3))
def test_planted_link_is_not_in_the_model(
    place: dict[str, object], others: dict[str, object]
) -> None:
    try:
        job = RestoreJob.model_validate(download_job() | others | place)
    except ValidationError as error:
        everything: list[object] = [str(error), repr(error)]
    else:
        everything = [str(job), job.model_dump(), job.model_dump_json(), job.__reduce_ex__(2)]

    assert "S3CR3T" not in repr(everything)


@pytest.mark.parametrize("key", ["snapshotId", "targetClusterName", "deliveryType"])
def test_link_in_a_text_field_is_replaced(key: str) -> None:
    job = read(**{key: "https://a.mongodb.net:27017/S3CR3T"})

    assert "S3CR3T" not in repr(job)
    assert "unreadable" in repr(job)


BAD_IDS = ["", " ", JOB[:-1], JOB + "0", "g" * 24, JOB + "\n", "٣" * 24, "../" * 8, "%2e" * 8]
BAD_CLUSTERS = ["", " ", "-a", "a b", "a/b", "..", "a%2fb", "a_b", "a" * 65, "a\n", "é", "“a”"]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_invalid_id_is_rejected_with_a_sentence(bad: str) -> None:
    with pytest.raises(InvalidName, match=r"is not a job id: that has 24 characters"):
        JobRef(PROJECT, CLUSTER, bad)
    with pytest.raises(InvalidName, match=r"is not a project id"):
        JobRef(bad, CLUSTER, JOB)

    assert not is_object_id(bad)


@pytest.mark.parametrize("bad", BAD_CLUSTERS)
def test_invalid_cluster_name_is_rejected_with_a_sentence(bad: str) -> None:
    with pytest.raises(InvalidName, match=r"is not a cluster name: .*such as prod-eu\."):
        JobRef(PROJECT, bad, JOB)

    assert not is_cluster_name(bad)


@given(st.text(max_size=3000))
def test_error_of_an_invalid_name_is_short_and_on_one_line(text: str) -> None:
    try:
        JobRef(PROJECT, text, JOB)
    except InvalidName as error:
        sentence = str(error)
    else:
        sentence = text

    assert len(sentence) < 250
    assert sentence.isprintable()


@pytest.mark.parametrize("name", ["a", "Cluster0", "prod-eu-", "0", "a" * 64])
def test_valid_cluster_names_are_accepted(name: str) -> None:
    assert JobRef(PROJECT, name, JOB).cluster_name == name


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday", {"$date": 1}],
)
def test_time_that_cannot_be_read_is_left_out(moment: object) -> None:
    job = read(timestamp=moment, finishedAt=moment)

    assert (job.snapshot_time, job.finished_at, job.can_be_cancelled) == (None, None, True)


@pytest.mark.parametrize("urls", [[], [LINK]])
def test_expiry_that_cannot_be_read_counts_as_a_live_link(urls: list[str]) -> None:
    assert read(expiresAt="in an hour", deliveryUrl=urls).link_is_live
