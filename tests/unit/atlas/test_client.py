"""The requests of the client, and how it parses the responses."""

from contextlib import nullcontext

import httpx
import pytest

from bot.atlas import (
    ApiVersion,
    AtlasError,
    AtlasGateway,
    AtlasHttp,
    AtlasReader,
    CallLimiter,
    CallRecord,
    Credentials,
    InvalidName,
    JobNotFound,
)
from bot.atlas.errors import AtlasRejected, RateLimited, Unavailable, UnreadableAnswer
from bot.atlas.reader import MAX_PAGES
from tests.support.atlas_client import AtlasClient
from tests.support.clock import FakeClock
from tests.unit.atlas.strict_server import (
    CLUSTER,
    JOB,
    JOB_PATH,
    KEY,
    PROJECT,
    REF,
    ScriptedTransport,
    StrictAtlas,
    answer_job,
    client,
    download_job,
    failed_cancel,
    failed_read,
    page,
    read_job,
    refusal,
)


def job(**changes: object) -> httpx.Response:
    return httpx.Response(200, json=download_job(**changes))


# Requests


@pytest.mark.parametrize(
    ("version", "base", "accept"),
    [
        (ApiVersion.V2, "/api/atlas/v2", "application/vnd.atlas.2023-01-01+json"),
        (ApiVersion.V1, "/api/atlas/v1.0", "application/json"),
    ],
)
async def test_job_is_read_and_cancelled_in_each_api_version(
    version: ApiVersion, base: str, accept: str
) -> None:
    script = ScriptedTransport(job(), httpx.Response(204))
    async with client(script, version=version) as atlas:
        await atlas.restore_job(REF)
        accepted = await atlas.cancel_restore_job(REF)

    assert accepted == 204
    assert [(r.method, r.url.raw_path, r.headers["Accept"]) for r in script.requests] == [
        ("GET", f"{base}{JOB_PATH}".encode(), accept),
        ("DELETE", f"{base}{JOB_PATH}".encode(), accept),
    ]


async def test_envelope_is_requested_only_when_set() -> None:
    script = ScriptedTransport(job())
    async with client(script) as plain, client(script, envelope=True) as other:
        await plain.restore_job(REF)
        await other.restore_job(REF)

    assert [r.url.query for r in script.requests] == [b"", b"envelope=true"]


@pytest.mark.parametrize("project", ["", "../" * 8, "x" * 24])
async def test_invalid_name_is_rejected_before_anything_is_sent(project: str) -> None:
    script = ScriptedTransport(page())
    async with client(script) as atlas:
        with pytest.raises(InvalidName):
            await atlas.clusters(project)
        with pytest.raises(InvalidName):
            await atlas.restore_jobs(PROJECT, f"a/{project}")

    assert script.requests == []


async def test_base_url_may_have_a_path() -> None:
    script = ScriptedTransport(job())
    async with AtlasClient(
        KEY, base_url="https://gw.example/atlas", transport=httpx.MockTransport(script)
    ) as atlas:
        await atlas.restore_job(REF)

    assert script.requests[0].url.path == f"/atlas/api/atlas/v2{JOB_PATH}"


# Envelopes


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(204),
        httpx.Response(200, json={"status": 204}),
        httpx.Response(200, json={"status": 204, "content": None}),
        httpx.Response(200, json={"status": 204, "envelope": {}}),
    ],
)
async def test_cancel_accepts_a_204_with_and_without_envelope(answer: httpx.Response) -> None:
    async with client(ScriptedTransport(answer), envelope=True) as atlas:
        assert await atlas.cancel_restore_job(REF) == 204


async def test_call_record_has_the_enveloped_status() -> None:
    seen: list[CallRecord] = []
    enveloped = httpx.Response(200, json={"status": 403, "content": {"error": 403}})
    await failed_read(
        AtlasRejected, ScriptedTransport(enveloped), envelope=True, observe=seen.append
    )

    assert [each.status for each in seen] == [403]


# Lists


async def test_all_pages_of_a_list_are_read() -> None:
    ids = [f"{number:024x}" for number in range(5)]
    script = ScriptedTransport(
        page(*(download_job(id=i) for i in ids[:2]), rels=("next", "self")),
        page(*(download_job(id=i) for i in ids[1:4]), rels=("self", "https://cloud.example/next")),
        page(*(download_job(id=i) for i in ids[4:]), rels=("previous", "self")),
    )
    async with client(script) as atlas:
        jobs = await atlas.restore_jobs(PROJECT, CLUSTER)

    assert [each.id for each in jobs] == ids
    assert [r.url.params["pageNum"] for r in script.requests] == ["1", "2", "3"]


async def test_page_with_nothing_new_ends_the_list() -> None:
    script = ScriptedTransport(page(download_job(), {}, rels=("next",)))
    async with client(script) as atlas:
        jobs = await atlas.restore_jobs(PROJECT, CLUSTER)

    assert ([job.id for job in jobs], jobs.unread) == ([JOB], ("",))
    assert len(script.requests) == 2


async def test_list_that_never_ends_is_unreadable() -> None:
    items = [download_job(id=f"{number:024x}") for number in range(MAX_PAGES)]
    script = ScriptedTransport(*(page(item, rels=("next",)) for item in items))
    async with client(script) as atlas:
        with pytest.raises(UnreadableAnswer, match="a list without an end"):
            await atlas.restore_jobs(PROJECT, CLUSTER)

    assert len(script.requests) == MAX_PAGES


# Reads are tried again


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.Response(500),
        httpx.Response(503),
        httpx.Response(429),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200),
        httpx.ReadError("reset"),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("nonsense"),
        httpx.DecodingError("bad gzip"),
    ],
)
async def test_read_is_retried_after_a_temporary_failure(
    trouble: httpx.Response | Exception,
) -> None:
    clock = FakeClock()
    script = ScriptedTransport(trouble, trouble, job())
    read = await read_job(script, clock=clock)

    assert read.id == JOB
    assert clock.sleeps == [0.3, 0.6]


async def test_refusal_is_not_retried() -> None:
    script = ScriptedTransport(refusal(404, "RESTORE_JOB_NOT_FOUND"))
    await failed_read(JobNotFound, script)

    assert len(script.requests) == 1


@pytest.mark.parametrize("cut", [httpx.ReadTimeout("slow"), httpx.ConnectTimeout("slow")])
async def test_retry_that_the_deadline_cuts_short_does_not_hide_the_failure_before(
    cut: Exception,
) -> None:
    script = ScriptedTransport(httpx.Response(503), cut)
    await failed_read(Unavailable, script, timeout=0.5)


async def test_retry_after_sets_the_pause() -> None:
    clock = FakeClock()
    script = ScriptedTransport(httpx.Response(429, headers={"Retry-After": "4"}), job())
    await read_job(script, clock=clock)

    assert clock.sleeps == [4.0]


async def test_retry_after_beyond_the_timeout_fails_immediately() -> None:
    clock = FakeClock()
    script = ScriptedTransport(httpx.Response(429, headers={"Retry-After": "55"}))
    error = await failed_read(RateLimited, script, clock=clock)

    assert (error.retry_after, clock.sleeps, len(script.requests)) == (55.0, [], 1)


@pytest.mark.parametrize("timeout", [0.0, 1.0, 20.0])
async def test_lasting_failures_end_within_the_timeout(timeout: float) -> None:
    clock = FakeClock()
    await failed_read(
        Unavailable, ScriptedTransport(httpx.Response(503)), clock=clock, timeout=timeout
    )

    assert sum(clock.sleeps) <= timeout
    assert sum(clock.sleeps) >= timeout / 3


# Call records


async def test_each_exchange_is_observed_with_challenges_and_failures() -> None:
    records: list[CallRecord] = []
    await read_job(StrictAtlas(), observe=records.append)
    await failed_cancel(AtlasError, ScriptedTransport(httpx.ReadError("x")), observe=records.append)

    assert records == [
        CallRecord("GET", 401, 0.0),
        CallRecord("GET", 200, 0.0),
        CallRecord("DELETE", None, 0.0),
    ]


# The reader


async def test_reader_and_gateway_lead_to_nothing_that_sends_a_delete() -> None:
    async with AtlasHttp(KEY, transport=httpx.MockTransport(answer_job)) as http:
        reader = AtlasReader(http)
        gateway = AtlasGateway(PROJECT, reader.through(lambda *_: nullcontext()), CallLimiter())
        held = [*parts_of(reader), *parts_of(gateway)]

    assert not [part for part in held if hasattr(part, "delete")]
    assert not [part for part in held if isinstance(part, AtlasHttp | Credentials | httpx.Auth)]


def parts_of(whole: object) -> list[object]:
    """Return what can be reached from attributes and bound methods."""
    found: list[object] = []
    open_ones = [whole]
    while open_ones:
        part = open_ones.pop()
        if any(part is other for other in found):
            continue
        found.append(part)
        open_ones += [getattr(part, "__self__", None), getattr(part, "__wrapped__", None)]
        if type(part).__module__.startswith("bot."):
            open_ones += vars(part).values()
    return found


async def test_lists_are_requested_with_their_paths_and_versions() -> None:
    script = ScriptedTransport(page())
    async with client(script) as atlas:
        await atlas.restore_jobs(PROJECT, CLUSTER)
        await atlas.clusters(PROJECT)

    sent = [
        (r.url.path.removeprefix("/api/atlas/v2"), r.headers["Accept"]) for r in script.requests
    ]
    assert sent == [
        (JOB_PATH.removesuffix(f"/{JOB}"), "application/vnd.atlas.2023-01-01+json"),
        (f"/groups/{PROJECT}/clusters", "application/vnd.atlas.2024-08-05+json"),
    ]
    page_one = "pageNum=1&itemsPerPage=500"
    assert [str(r.url.query, "ascii") for r in script.requests] == [
        page_one,
        f"includeDeletedWithRetainedBackups=true&{page_one}",
    ]


async def test_timeout_of_one_call_replaces_the_default() -> None:
    clock = FakeClock()
    async with client(ScriptedTransport(httpx.Response(503)), clock=clock) as atlas:
        with pytest.raises(Unavailable):
            await atlas.restore_job(REF, timeout=0.5)

    assert clock.sleeps == [0.3]
