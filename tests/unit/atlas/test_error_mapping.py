"""Every refusal of Atlas maps to the one error whose sentence has the remedy.

Those of which tests/data/atlas has the answer are in `test_atlas_facts`.
"""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.atlas import (
    AtlasError,
    ClusterNotFound,
    JobNotFound,
    KeyRefused,
    NotCancellable,
    NotOnAccessList,
    ProjectNotFound,
    RoleMissing,
    WrongClusterKind,
)
from bot.atlas.errors import (
    AtlasUnavailable,
    OtherRefusal,
    RateLimited,
    Unavailable,
    UnreadableAnswer,
    VersionGone,
    error_for,
)
from bot.atlas.protocol import parse_body
from tests.support.atlas_client import AtlasClient
from tests.unit.atlas.strict_server import CLUSTER, PROJECT, REF, client


def of(
    status: int,
    code: str | None = None,
    *,
    method: str = "DELETE",
    not_found: type[AtlasError] = JobNotFound,
    headers: dict[str, str] | None = None,
    body: dict[str, object] | None = None,
) -> AtlasError:
    payload = (
        {"error": status, "reason": "…"} | (body or {}) | ({"errorCode": code} if code else {})
    )
    return error_for(status, headers or {}, payload, f"{method} /api/atlas/v2/x", not_found)


@pytest.mark.parametrize(
    ("status", "code", "leaf"),
    [
        (400, "INCORRECT_BACKUP_API_ENDPOINT", WrongClusterKind),
        (400, "INVALID_PATH_PARAMETER", OtherRefusal),
        (400, None, OtherRefusal),
        (401, None, KeyRefused),
        (401, "UNEXPECTED_ERROR", KeyRefused),
        (401, "NOT_IN_GROUP", RoleMissing),
        (401, "USER_CANNOT_ACCESS_GROUP", RoleMissing),
        (403, "IP_ADDRESS_NOT_ON_WHITELIST", NotOnAccessList),
        (403, "ORG_REQUIRES_ACCESS_LIST", NotOnAccessList),
        (403, "RESOURCE_REQUIRES_WHITELIST", NotOnAccessList),
        (403, "ACCESS_FORBIDDEN", RoleMissing),
        (403, "FEATURE_UNSUPPORTED", WrongClusterKind),
        (403, None, RoleMissing),
        (404, "INVALID_GROUP_ID", ProjectNotFound),
        (404, "INVALID_JOB_ID", JobNotFound),
        (404, "UNEXPECTED_ERROR", JobNotFound),
        (404, None, JobNotFound),
        (405, None, NotCancellable),
        (406, "INVALID_VERSION_DATE", VersionGone),
        (400, "INVALID_VERSION_DATE", VersionGone),
        (409, None, OtherRefusal),
        (410, None, VersionGone),
        (429, "RATE_LIMITED", RateLimited),
        (429, None, RateLimited),
        (500, "GROUP_NOT_FOUND", Unavailable),
        (504, None, Unavailable),
        (408, None, Unavailable),
        (302, None, UnreadableAnswer),
    ],
)
def test_status_and_code_map_to_an_error(
    status: int, code: str | None, leaf: type[AtlasError]
) -> None:
    method = "GET" if status == 404 else "DELETE"
    error = of(status, code, method=method)

    assert (type(error), error.status, error.code) == (leaf, status, code)
    assert error.call == f"{method} /api/atlas/v2/x"


def test_maintenance_may_be_tried_again_and_changed_nothing() -> None:
    error = of(405, "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES")

    assert isinstance(error, AtlasUnavailable)
    assert not error.may_have_taken_effect


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 407, 409, 410])
@pytest.mark.parametrize("body", [b"", b"<html>Refused</html>", b'{"message": "Refused"}'])
def test_delete_that_a_gateway_answers_says_nothing_about_the_job(status: int, body: bytes) -> None:
    error = error_for(status, {}, parse_body(body), "DELETE /api/atlas/v2/x", JobNotFound)

    assert not isinstance(error, NotCancellable)
    assert not error.may_have_taken_effect


def test_405_of_atlas_without_a_code_says_that_the_job_cannot_be_cancelled() -> None:
    error = error_for(405, {}, {"error": 405}, "DELETE /api/atlas/v2/x")

    assert type(error) is NotCancellable


@pytest.mark.parametrize(("status", "advice"), [(403, "access list"), (404, "address")])
def test_refusal_without_a_code_names_the_proxy_too(status: int, advice: str) -> None:
    fact = error_for(status, {}, "<html>", "GET /x", JobNotFound).fact

    assert f"Atlas, or a proxy before it, answered with status {status}" in fact
    assert advice in fact


@pytest.mark.parametrize(
    ("read", "leaf"),
    [
        (lambda atlas: atlas.restore_job(REF), JobNotFound),
        (lambda atlas: atlas.restore_jobs(PROJECT, CLUSTER), ClusterNotFound),
        (lambda atlas: atlas.clusters(PROJECT), ProjectNotFound),
        (lambda atlas: atlas.project(PROJECT), ProjectNotFound),
    ],
)
async def test_404_without_a_code_refers_to_the_resource(
    read: Callable[[AtlasClient], Awaitable[object]], leaf: type[AtlasError]
) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(404, json={"error": 404})

    async with client(answer) as atlas:
        with pytest.raises(leaf) as caught:
            await read(atlas)

    assert type(caught.value) is leaf


def test_code_is_read_from_the_header_as_a_fallback() -> None:
    error = error_for(404, {"X-Error-Code": "CLUSTER_NOT_FOUND"}, None, "GET /x")

    assert (type(error), error.code) == (ClusterNotFound, "CLUSTER_NOT_FOUND")


@pytest.mark.parametrize(
    ("parameters", "detail", "address"),
    [
        (["203.0.113.7"], "IP address … is not allowed.", "203.0.113.7"),
        ([], "IP address 203.0.113.7 is not allowed to access this.", "203.0.113.7"),
        (None, "Not allowed: 203.0.113.7.", "203.0.113.7"),
        (None, "IP address 2001:db8::7 is bad: added.", "2001:db8::7"),
    ],
)
def test_client_address_is_found(parameters: object, detail: str, address: str) -> None:
    body = {"parameters": parameters, "detail": detail}
    error = of(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", body=body)

    assert str(error) == (
        f"The bot's key may not be used from {address}: add that to its access list."
    )


@pytest.mark.parametrize(
    ("headers", "parameters", "wait"),
    [
        ({"Retry-After": "55"}, [], 55.0),
        ({"Retry-After": " 7 "}, ["/x", 55, 10, 5, 60], 7.0),
        ({"Retry-After": "7\x1f"}, [], 7.0),
        ({}, ["/x", 55, 10, 5, 60], 55.0),
        ({}, [], None),
        ({}, ["/x", "many"], None),
        ({"Retry-After": "-1"}, [], None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, [], None),
        ({"Retry-After": "٣"}, [], None),
        ({"Retry-After": "9" * 400}, [], None),
    ],
)
def test_retry_after_of_a_rate_limit_is_parsed(
    headers: dict[str, str], parameters: list[object], wait: float | None
) -> None:
    error = of(429, "RATE_LIMITED_TOKEN_BUCKET", headers=headers, body={"parameters": parameters})

    assert isinstance(error, RateLimited)
    assert error.retry_after == wait


def test_other_refusal_names_code_and_status() -> None:
    error = of(400, "VALIDATION_ERROR", body={"detail": "The name is too long."})

    assert (
        str(error)
        == "Atlas, or a proxy before it, refused what was asked (VALIDATION_ERROR, status 400)."
    )
    assert str(of(418)) == "Atlas, or a proxy before it, refused what was asked (status 418)."


def test_detail_is_short_on_one_line_and_without_links() -> None:
    detail = "No\n\nway \x1b[31m https://restore.example/S3CR3T/a.tar.gz " + "x" * 9999
    error = of(400, body={"detail": detail})

    assert error.detail.startswith("No way [31m (link left out) xxx")
    assert len(error.detail) == 300
    assert "S3CR3T" not in f"{error} {error!r} {vars(error)}"


@pytest.mark.parametrize(
    ("detail", "kept"),
    [
        ("See htups:(/restore.example:27017/S3CR3T/a.tar.gz now.", "See (link left out) now."),
        ("See restore.example/S3CR3T now.", "See (link left out) now."),
        ("See (https://localhost/S3CR3T)", "See (link left out)"),
        (
            "Nothing at /api/atlas/v2/groups/{groupId}.",
            "Nothing at /api/atlas/v2/groups/{groupId}.",
        ),
        ("Nothing at /api/https://restore.example/S3CR3T", "Nothing at (link left out)"),
        ("The job is over and/or gone. Use v2.", "The job is over and/or gone. Use v2."),
    ],
)
def test_possible_links_are_removed_from_the_detail(detail: str, kept: str) -> None:
    assert of(400, body={"detail": detail}).detail == kept


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errorCode", "detail", "parameters", "reason"]),
            inner,
            max_size=5,
        )
    ),
)


@given(
    st.integers(min_value=300, max_value=599),
    _json,
    st.dictionaries(st.sampled_from(["Retry-After", "X-Error-Code"]), st.text(max_size=10)),
    st.sampled_from([JobNotFound, ClusterNotFound, ProjectNotFound, OtherRefusal]),
)
def test_any_body_maps_to_an_error(
    status: int, payload: object, headers: dict[str, str], not_found: type[AtlasError]
) -> None:
    error = error_for(status, headers, payload, "DELETE /x", not_found)

    assert (error.status, bool(str(error))) == (status, True)
