"""The client against the answers of Atlas in tests/data/atlas."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from bot.atlas import (
    ApiVersion,
    AtlasError,
    ClusterNotFound,
    DeliveryType,
    JobNotFound,
    JobRef,
    KeyRefused,
    NotCancellable,
    NotOnAccessList,
    ProjectNotFound,
    RestoreJob,
    RoleMissing,
    WrongClusterKind,
)
from bot.atlas.errors import (
    Maintenance,
    NotFoundToCancel,
    OtherRefusal,
    RateLimited,
    Unavailable,
    VersionGone,
)
from tests.support.atlas_client import AtlasClient
from tests.support.atlas_facts import FOLDER, AtlasAnswer, atlas_answer, atlas_answers
from tests.unit.atlas.strict_server import StrictAtlas, client

PROJECT, CLUSTER = "5b6212af90dc76637950a2c6", "prod-eu"
START = datetime(2026, 5, 19, 13, 0, 56, tzinfo=UTC)


def served(name: str, **options: Any) -> AtlasClient:
    """Return a client whose every call gets this answer, once it has logged in."""
    answer = atlas_answer(name)

    def respond(_: httpx.Request) -> httpx.Response:
        return httpx.Response(answer.status, headers=answer.headers, content=answer.content)

    version = ApiVersion.V1 if "/v1.0/" in answer.path else ApiVersion.V2
    return client(StrictAtlas(answer=respond), version=version, **options)


def ref_of(answer: AtlasAnswer) -> JobRef:
    parts = answer.path.split("/")
    job_id = parts[-1] if parts[-2] == "restoreJobs" else "6" * 24
    return JobRef(PROJECT, CLUSTER, job_id)


async def read_job(name: str, **options: Any) -> RestoreJob:
    async with served(name, **options) as atlas:
        return await atlas.restore_job(ref_of(atlas_answer(name)))


JOBS: dict[str, tuple[list[str], bool, bool]] = {
    "job-in-progress": ([], False, True),
    "job-link-live": ([], True, True),
    "job-sharded": ([], True, True),
    "job-cancelled": (["cancelled"], False, False),
    "job-cancelled-and-failed": (["cancelled", "failed", "finished_at"], False, False),
    "job-automated": (["finished_at"], False, False),
    "job-v1": ([], False, True),
}


@pytest.mark.parametrize("name", JOBS)
async def test_job_reads_as_what_it_is(name: str) -> None:
    job = await read_job(name)
    ends = [
        name for name in ("cancelled", "failed", "expired", "finished_at") if getattr(job, name)
    ]

    assert (ends, job.link_is_live, job.can_be_cancelled) == JOBS[name]
    assert job.cluster_name == CLUSTER
    assert job.snapshot_time == datetime(2026, 5, 19, 12, 55, 46, tzinfo=UTC)
    assert "S3CR3T" not in repr(job)


async def test_expiry_of_a_live_link_and_target_of_an_automated_job_are_read() -> None:
    live, automated = await read_job("job-link-live"), await read_job("job-automated")

    assert live.link_expires_at == datetime(2026, 5, 19, 14, 8, 12, tzinfo=UTC)
    assert automated.delivery_type is DeliveryType.AUTOMATED
    assert automated.target_cluster_name == "staging"


@pytest.mark.parametrize("name", ["envelope-job", "envelope-job-v1"])
async def test_enveloped_job_is_read(name: str) -> None:
    assert (await read_job(name, envelope=True)).can_be_cancelled


@pytest.mark.parametrize(
    ("name", "count"), [("job-list", 2), ("job-list-first-page", 1), ("envelope-list", 1)]
)
async def test_list_of_jobs_is_read(name: str, count: int) -> None:
    async with served(name, envelope=name.startswith("envelope")) as atlas:
        jobs = await atlas.restore_jobs(PROJECT, CLUSTER)

    assert (len(jobs), jobs.unread) == (count, ())


async def test_clusters_project_and_key_are_read() -> None:
    async with served("cluster-list") as atlas:
        clusters = await atlas.clusters(PROJECT)
    async with served("project") as atlas:
        project = await atlas.project(PROJECT)
    async with served("root") as atlas:
        roles = await atlas.roles(PROJECT)

    assert ([cluster.name for cluster in clusters], project.name) == ([CLUSTER], "shop-prod")
    assert roles == {"ORG_MEMBER", "GROUP_BACKUP_RECOVERY_OPERATOR"}


async def test_restore_requests_name_their_actors() -> None:
    async with served("events") as atlas:
        events = await atlas.events(PROJECT, START)

    assert [(event.public_key, event.username) for event in events] == [
        ("abcdwxyz", ""),
        ("", "dana@shop.example"),
    ]
    assert (events[0].created, events.unread) == (START, ())


async def test_accepted_cancel_is_accepted() -> None:
    async with served("cancel-accepted") as atlas:
        assert await atlas.cancel_restore_job(ref_of(atlas_answer("cancel-accepted"))) == 204


ERRORS: dict[str, tuple[type[AtlasError], float | None]] = {
    "error-400-automated": (NotCancellable, None),
    "error-400-flex": (WrongClusterKind, None),
    "error-401-challenge": (KeyRefused, None),
    "error-401-role": (RoleMissing, None),
    "error-403-access-list": (NotOnAccessList, None),
    "error-404-cluster": (ClusterNotFound, None),
    "error-404-job": (JobNotFound, None),
    "error-404-project": (ProjectNotFound, None),
    "error-405-maintenance": (Maintenance, 15.0),
    "error-405-shard": (NotCancellable, None),
    "error-409-restore-in-progress": (OtherRefusal, None),
    "error-410-version": (VersionGone, None),
    "error-429": (RateLimited, 55.0),
    "error-500": (Unavailable, None),
    "error-503": (Unavailable, 30.0),
    "envelope-error": (JobNotFound, None),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_error_has_its_class_status_code_and_pause(name: str) -> None:
    answer = atlas_answer(name)
    is_enveloped = name.startswith("envelope")
    body = answer.body["content"] if is_enveloped else answer.body
    error = await error_of(name, envelope=is_enveloped)

    assert (type(error), error.retry_after) == ERRORS[name]
    assert (error.status, error.code) == (body["error"], body.get("errorCode"))


async def error_of(name: str, **options: Any) -> AtlasError:
    answer = atlas_answer(name)
    ref = ref_of(answer)
    async with served(name, **options) as atlas:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "DELETE": lambda: atlas.cancel_restore_job(ref),
            "GET": lambda: atlas.restore_job(ref),
        }
        with pytest.raises(AtlasError) as caught:
            await calls[answer.method]()
    return caught.value


async def test_access_list_refusal_names_the_address_that_atlas_sees() -> None:
    assert "203.0.113.7" in str(await error_of("error-403-access-list"))


async def test_404_of_a_delete_is_not_the_end_of_the_download() -> None:
    async with served("error-404-job") as atlas:
        with pytest.raises(NotFoundToCancel):
            await atlas.cancel_restore_job(ref_of(atlas_answer("error-404-job")))


def test_every_answer_is_used_and_listed_with_its_source() -> None:
    others = {"job-list", "job-list-first-page", "envelope-list", "envelope-job", "envelope-job-v1"}
    others |= {"cluster-list", "project", "root", "events", "cancel-accepted"}
    tokens = {"token", "token-refused"}  # of `test_oauth`
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")

    assert set(atlas_answers()) == {*JOBS, *ERRORS, *others, *tokens}
    for name, answer in atlas_answers().items():
        assert f"| {name} | {answer.status} | {answer.certainty} | {answer.source} |" in readme
