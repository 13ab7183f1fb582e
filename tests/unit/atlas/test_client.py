"""The requests of the client, and how it parses the responses."""

import gzip
import inspect
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import cast

import httpx
import pytest

import bot.atlas
from bot.atlas import (
    ApiVersion,
    AtlasError,
    AtlasHttp,
    AtlasRejected,
    AtlasUnavailable,
    CallRecord,
    ConnectionBroken,
    InvalidName,
    JobNotFound,
    NoConnection,
    RateLimited,
    TimedOut,
    Unavailable,
    UnreadableAnswer,
)
from bot.atlas.reader import MAX_PAGES
from bot.atlas.transport import MAX_RESPONSE_BYTES
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
    client,
    download_job,
    failed_cancel,
    failed_read,
    read_job,
    refusal,
)

LINK = "https://restore-5b622f.a1b2c.mongodb.net:27017/S3CR3T-0f7e/restore-5b62.tar.gz"


def job(**changes: object) -> httpx.Response:
    return httpx.Response(200, json=download_job(**changes))


def page(*items: object, rels: tuple[str, ...] = ("self",), **more: object) -> httpx.Response:
    links = [{"href": "https://cloud.example/x?pageNum=1", "rel": rel} for rel in rels]
    return httpx.Response(200, json={"links": links, "results": items} | more)


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


@pytest.mark.parametrize("key", ["content", "envelope"])
async def test_enveloped_job_is_read_under_either_key(key: str) -> None:
    script = ScriptedTransport(httpx.Response(200, json={"status": 200, key: download_job()}))
    read = await read_job(script, envelope=True)

    assert read.id == JOB


async def test_enveloped_page_is_read() -> None:
    script = ScriptedTransport(page(download_job(), status=200, totalCount=1))
    async with client(script, envelope=True) as atlas:
        jobs = await atlas.restore_jobs(PROJECT, CLUSTER)

    assert [each.id for each in jobs] == [JOB]


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


@pytest.mark.parametrize(
    ("different", "pages"), [(1, 3), (MAX_PAGES, MAX_PAGES)], ids=["same page", "new items"]
)
async def test_endless_list_fails_with_its_own_sentence(different: int, pages: int) -> None:
    items = [download_job(id=f"{number:024x}") for number in range(different)]
    script = ScriptedTransport(*(page(item, rels=("next",)) for item in items))
    async with client(script) as atlas:
        with pytest.raises(UnreadableAnswer, match="a list without an end"):
            await atlas.restore_jobs(PROJECT, CLUSTER)

    assert len(script.requests) == pages


async def test_clusters_and_projects_are_parsed() -> None:
    script = ScriptedTransport(
        page({"name": "prod-eu", "clusterType": "REPLICASET", "paused": False}),
        page({"name": "shop", "id": PROJECT, "orgId": "5" * 24}),
        httpx.Response(200, json={"name": "shop", "id": PROJECT}),
    )
    async with client(script) as atlas:
        clusters = await atlas.clusters(PROJECT)
        projects = await atlas.projects()
        project = await atlas.project(PROJECT)

    assert [cluster.name for cluster in clusters] == ["prod-eu"]
    assert projects == [project]
    assert (project.id, project.name) == (PROJECT, "shop")


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


async def test_read_of_a_caller_that_polls_is_sent_once() -> None:
    script = ScriptedTransport(httpx.Response(503), page())
    async with client(script) as atlas:
        with pytest.raises(Unavailable):
            await atlas.restore_jobs(PROJECT, CLUSTER, retry=False)

    assert script.methods == ["GET"]


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


# The DELETE


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(204),
        httpx.Response(200, json={}),
        httpx.Response(202, text="<html>"),
        httpx.Response(200, json={"status": 400, "content": {}}),
    ],
)
async def test_any_2xx_with_any_body_is_an_accepted_cancel(answer: httpx.Response) -> None:
    async with client(ScriptedTransport(answer)) as atlas:
        assert await atlas.cancel_restore_job(REF) == answer.status_code


@pytest.mark.parametrize(
    ("answer", "leaf", "applied"),
    [
        (httpx.ConnectError("refused"), NoConnection, False),
        (httpx.ConnectTimeout("slow"), NoConnection, False),
        (httpx.PoolTimeout("full"), NoConnection, False),
        (httpx.ProxyError("407"), NoConnection, False),
        (httpx.ReadError("reset"), ConnectionBroken, True),
        (httpx.WriteError("reset"), ConnectionBroken, True),
        (httpx.RemoteProtocolError("closed"), ConnectionBroken, True),
        (OSError("broken"), ConnectionBroken, True),
        (httpx.ReadTimeout("slow"), TimedOut, True),
        (httpx.WriteTimeout("slow"), TimedOut, True),
        (httpx.DecodingError("bad gzip"), UnreadableAnswer, True),
        (httpx.Response(302, headers={"Location": "https://elsewhere"}), UnreadableAnswer, True),
        (httpx.Response(429), RateLimited, False),
        (httpx.Response(500), Unavailable, True),
        (httpx.Response(502, text="<html>"), Unavailable, True),
    ],
)
async def test_failed_delete_is_not_repeated_and_reports_whether_it_may_have_taken_effect(
    answer: httpx.Response | Exception, leaf: type[AtlasUnavailable], applied: bool
) -> None:
    script = ScriptedTransport(answer)
    error = await failed_cancel(AtlasUnavailable, script)

    assert (type(error), error.may_have_taken_effect) == (leaf, applied)
    assert script.methods == ["DELETE"]
    assert error.call == f"DELETE /api/atlas/v2{JOB_PATH}"


# Answers that cannot be used


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "text",
        {},
        {"id": JOB},
        download_job(id=7),
        download_job(timestamp="yesterday"),
        download_job(cancelled="perhaps"),
        download_job(deliveryType={}),
        download_job(id="0" * 24),  # another job
    ],
)
async def test_json_of_another_form_is_unreadable(payload: object) -> None:
    error = await failed_read(
        UnreadableAnswer, ScriptedTransport(httpx.Response(200, json=payload))
    )

    assert error.call == f"GET /api/atlas/v2{JOB_PATH}"


async def test_unreadable_job_of_a_list_is_left_out_and_named() -> None:
    odd, unnamed = download_job(id="A" * 24, expiresAt="never"), download_job(id=7)
    answer = page(odd, download_job(), unnamed, None, "text", 5, [], {})
    async with client(ScriptedTransport(answer)) as atlas:
        jobs = await atlas.restore_jobs(PROJECT, CLUSTER)

    assert [each.id for each in jobs] == [JOB]
    assert jobs.unread == ("a" * 24, *6 * [""])
    assert jobs.unread_text("job") == "7 jobs could not be read"


@pytest.mark.parametrize(
    "body",
    [
        *(b"[" * 100_000, b"\xff\xfe", b"9" * 10_000, b"{", b""),
        json.dumps(download_job(snapshotId="half of a pair: \ud83d")).encode(),
    ],
)
async def test_body_that_is_not_json_is_unreadable(body: bytes) -> None:
    await failed_read(UnreadableAnswer, ScriptedTransport(httpx.Response(200, content=body)))


async def test_endless_body_is_cut_off_at_the_limit() -> None:
    sent: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        sent.append(0)
        while True:
            sent[-1] += 1_000_000
            yield b" " * 1_000_000

    await failed_read(UnreadableAnswer, lambda _: httpx.Response(200, content=endless()))

    assert max(sent) <= MAX_RESPONSE_BYTES + 1_000_000


def packed(body: bytes, encoding: str = "gzip") -> httpx.Response:
    async def once() -> AsyncIterator[bytes]:
        yield body

    return httpx.Response(200, headers={"Content-Encoding": encoding}, content=once())


async def test_gzip_bomb_is_cut_off_at_the_limit() -> None:
    bomb = gzip.compress(bytes(6 * MAX_RESPONSE_BYTES), compresslevel=1)
    tracemalloc.start()
    await failed_read(UnreadableAnswer, lambda _: packed(bomb))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 * MAX_RESPONSE_BYTES


# Links never leave


_PLANTED: list[dict[str, object]] = [
    download_job(deliveryUrl=[LINK]),
    download_job(deliveryUrl=LINK, id="bad"),
    download_job(deliveryUrl=[LINK], timestamp=LINK),
    download_job(components=[{"downloadUrl": LINK}], cancelled=LINK),
    download_job(deliveryUrl=[LINK], id="0" * 24),
    {"deliveryUrl": [LINK]},
    {"results": [{"deliveryUrl": [LINK]}], "links": [{"rel": LINK}]},
    {"error": 400, "errorCode": "X", "detail": f"see {LINK}", "parameters": [LINK]},
    {"error": LINK, "errorCode": LINK, "detail": LINK},
]


@pytest.mark.parametrize("planted", _PLANTED)
@pytest.mark.parametrize("status", [200, 400, 403, 500])
async def test_download_link_is_in_no_value_error_or_log(
    planted: dict[str, object], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    seen: list[object] = []
    script = ScriptedTransport(httpx.Response(status, json=planted))
    async with client(script, observe=seen.append) as atlas:
        for call in (atlas.restore_job(REF), atlas.restore_jobs(PROJECT, CLUSTER)):
            try:
                seen.append(await call)
            except AtlasError as error:
                seen += [str(error), error.args, vars(error), error.__cause__, error.__context__]

    assert "S3CR3T" not in repr(seen)
    assert "S3CR3T" not in caplog.text


async def test_private_key_is_in_no_error_log_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    atlas = StrictAtlas(private_key="another")
    async with client(atlas) as client_:
        with pytest.raises(AtlasError) as caught:
            await client_.restore_job(REF)
        shown = f"{caught.value!r} {vars(caught.value)} {client_!r} {KEY!r} {caplog.text}"

    assert KEY.secret.get_secret_value() not in shown


# Call records


async def test_each_exchange_is_observed_with_challenges_and_failures() -> None:
    records: list[CallRecord] = []
    clock = FakeClock()
    atlas = StrictAtlas(
        answer=lambda _: httpx.Response(
            200, json=download_job(), headers={"RateLimit-Remaining": "1199"}
        )
    )
    await read_job(atlas, clock=clock, observe=records.append)
    await failed_cancel(AtlasError, ScriptedTransport(httpx.ReadError("x")), observe=records.append)

    assert records == [
        CallRecord("GET", 401, 0.0, challenge=True),
        CallRecord("GET", 200, 0.0, rate_limit_remaining=1199),
        CallRecord("DELETE", None, 0.0),
    ]


async def record_of(headers: dict[str, str]) -> CallRecord:
    records: list[CallRecord] = []
    answer = httpx.Response(200, json=download_job(), headers=headers)
    await read_job(ScriptedTransport(answer), observe=records.append)
    return records[0]


@pytest.mark.parametrize("header", ["", "-1", "many", "9" * 50, "1.5"])
async def test_invalid_rate_limit_header_is_ignored(header: str) -> None:
    assert (await record_of({"RateLimit-Remaining": header})).rate_limit_remaining is None


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ("Wed, 25 Nov 2026 22:00:00 GMT", datetime(2026, 11, 25, 22, tzinfo=UTC)),
        ("Wed, 25 Nov 2026 22:00:00 -0000", datetime(2026, 11, 25, 22, tzinfo=UTC)),
        ("Mon, 01 Jan 2026 +99999999999999999", None),
        ("yesterday", None),
    ],
)
async def test_date_header_is_parsed_or_ignored(header: str, date: datetime | None) -> None:
    assert (await record_of({"Date": header})).date == date


# The example


async def test_example_in_the_package_docstring_works(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ScriptedTransport(job(), httpx.Response(204), job(cancelled=True))
    names: dict[str, Callable[..., Awaitable[object]]] = {}
    text = inspect.cleandoc(bot.atlas.__doc__ or "").split("\n\n", 1)[1]
    example = text.split("\n\nEach failed call")[0]
    exec(inspect.cleandoc(example), names)  # noqa: S102 - the example of our own docstring
    monkeypatch.setitem(
        cast("dict[str, object]", names),
        "AtlasHttp",
        lambda key: AtlasHttp(key, transport=httpx.MockTransport(script)),
    )
    cancelled = await names["cancel"](PROJECT, CLUSTER, JOB, KEY)

    assert cancelled is True
    assert script.methods == ["GET", "DELETE", "GET"]


async def test_lists_are_requested_with_their_paths_and_versions() -> None:
    script = ScriptedTransport(page())
    async with client(script) as atlas:
        await atlas.restore_jobs(PROJECT, CLUSTER)
        await atlas.clusters(PROJECT)
        await atlas.projects()

    sent = [
        (r.url.path.removeprefix("/api/atlas/v2"), r.headers["Accept"]) for r in script.requests
    ]
    assert sent == [
        (JOB_PATH.removesuffix(f"/{JOB}"), "application/vnd.atlas.2023-01-01+json"),
        (f"/groups/{PROJECT}/clusters", "application/vnd.atlas.2024-08-05+json"),
        ("/groups", "application/vnd.atlas.2023-01-01+json"),
    ]
    page_one = "pageNum=1&itemsPerPage=500"
    assert [str(r.url.query, "ascii") for r in script.requests] == [
        page_one,
        f"includeDeletedWithRetainedBackups=true&{page_one}",
        page_one,
    ]


async def test_timeout_of_one_call_replaces_the_default() -> None:
    clock = FakeClock()
    async with client(ScriptedTransport(httpx.Response(503)), clock=clock) as atlas:
        with pytest.raises(Unavailable):
            await atlas.restore_job(REF, timeout=0.5)

    assert clock.sleeps == [0.3]


@pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
async def test_gzip_response_is_read_and_no_other_compression_is_asked_for(encoding: str) -> None:
    body, accepted = gzip.compress(json.dumps(download_job()).encode()), set[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        accepted.add(request.headers["Accept-Encoding"])
        return packed(body, encoding)

    read = await read_job(answer)

    assert (read.id, accepted) == (REF.job_id, {"gzip"})
