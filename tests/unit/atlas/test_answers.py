"""What follows from an answer, or from none: to a DELETE, to a read, and for links in it."""

import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator

import httpx
import pytest

from bot.atlas import AtlasError
from bot.atlas.errors import (
    AtlasUnavailable,
    ConnectionBroken,
    NoConnection,
    RateLimited,
    TimedOut,
    Unavailable,
    UnreadableAnswer,
)
from bot.atlas.transport import MAX_RESPONSE_BYTES
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
    page,
    read_job,
)

LINK = "https://restore-5b622f.a1b2c.mongodb.net:27017/S3CR3T-0f7e/restore-5b62.tar.gz"


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
    odd, unnamed = download_job(id="A" * 24, cancelled="perhaps"), download_job(id=7)
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


@pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
async def test_gzip_response_is_read_and_no_other_compression_is_asked_for(encoding: str) -> None:
    body, accepted = gzip.compress(json.dumps(download_job()).encode()), set[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        accepted.add(request.headers["Accept-Encoding"])
        return packed(body, encoding)

    read = await read_job(answer)

    assert (read.id, accepted) == (REF.job_id, {"gzip"})
