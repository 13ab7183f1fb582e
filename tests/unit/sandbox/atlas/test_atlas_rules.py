"""The fake Atlas's pure rules: versions, buckets, faults, errors, origins, and the world."""

from datetime import UTC, date, datetime, timedelta

import pytest

from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.atlas.api.limits import Buckets, Rate
from bot.sandbox.atlas.api.request import match
from bot.sandbox.atlas.api.versions import resolve, takes_json
from bot.sandbox.atlas.errors import AtlasError
from bot.sandbox.atlas.faults import Faults

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
TODAY = date(2026, 11, 24)
VERSIONS = ("2023-01-01", "2024-08-05")


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        ("application/vnd.atlas.2023-01-01+json", "2023-01-01"),
        ("application/vnd.atlas.2024-08-04+json", "2023-01-01"),
        ("application/vnd.atlas.2024-08-05+json", "2024-08-05"),
        ("Application/VND.atlas.2025-03-12+JSON", "2024-08-05"),
        ("text/html, application/vnd.atlas.2023-01-01+json;q=0.9", "2023-01-01"),
        ("application/vnd.atlas.2026-11-24+json", "2024-08-05"),
    ],
)
def test_date_resolves_to_the_newest_version_not_after_it(accept: str, version: str) -> None:
    assert resolve(accept, VERSIONS, TODAY) == version


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "application/json"]
    + [f"application/vnd.atlas.{date}+json" for date in ("2022-12-31", "2023-02-30", "2099-01-01")]
    + ["application/vnd.atlas.preview+json"],
)
def test_unknown_version_is_rejected(accept: str) -> None:
    with pytest.raises(AtlasError) as caught:
        resolve(accept, VERSIONS, TODAY)

    assert (caught.value.status, caught.value.kind.code) == (406, "INVALID_VERSION_DATE")


def test_v1_accepts_json_any_type_and_no_accept_header() -> None:
    taken = [takes_json(accept) for accept in ("", "*/*", "application/json", "text/html")]

    assert taken == [True, True, True, False]


def test_token_bucket_of_a_project_refills_up_to_its_capacity() -> None:
    buckets, rate = Buckets(), Rate(2, 60, 60)
    readings = [buckets.take("backups", "p", rate, NOW) for _ in range(3)]
    later = buckets.take("backups", "p", rate, NOW + timedelta(hours=1))

    assert [reading.remaining for reading in readings] == [1, 0, 0]
    assert [reading.wait for reading in readings] == [0, 0, 1]
    assert later.remaining == 1
    assert buckets.take("backups", "another project", rate, NOW).wait == 0


def test_used_up_fault_does_not_affect_others() -> None:
    faults = Faults()
    faults.add(Fault(kind=Kind.DELAY, times=2), Fault(kind=Kind.HTML, method="GET"))
    taken = [
        [fault.kind for fault in faults.take(method, "/x", "call")]
        for method in ("DELETE", "GET", "GET")
    ]

    assert taken == [[Kind.DELAY], [Kind.DELAY, Kind.HTML], []]


def test_errors_parameters_are_its_values_in_order() -> None:
    error = AtlasError("RESTORE_JOB_NOT_FOUND", {"job": "j", "cluster": "c", "group": "g"})

    assert error.document() == {
        "detail": "No restore job with ID j exists for cluster c.",
        "error": 404,
        "errorCode": "RESTORE_JOB_NOT_FOUND",
        "parameters": ["j", "c"],
        "reason": "Not Found",
    }


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/groups/g/clusters/c", {"group": "g", "cluster": "c"}),
        ("/groups/g/clusters/a%2Fb", {"group": "g", "cluster": "a/b"}),
        ("/groups/g/clusters/c/", None),
        ("/groups//clusters/c/x", None),
        ("/Groups/g/clusters/c", None),
    ],
)
def test_path_is_matched_by_segment(path: str, values: dict[str, str] | None) -> None:
    assert match("/groups/{group}/clusters/{cluster}", path) == values
