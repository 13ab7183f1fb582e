"""An Atlas with generated answers, and the checks of the client's results."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from pydantic import SecretStr

from bot.atlas import AtlasError, DigestKey, JobRef, RestoreJob
from tests.support.atlas_client import AtlasClient
from tests.tools.campaign.fuzzing.environment import Found
from tests.tools.campaign.fuzzing.shapes import anything, mutated, mutations, odd_values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Json = dict[str, Any]

#: The secret that must be nowhere once an answer is read.
SECRET = "/bearer-of-the-backup/"
LINK = f"https://restore-65f0.mongodb.net:27017{SECRET}restore.tar.gz"

REF = JobRef("5b6212af90dc76637950a2c6", "prod-eu", "65f0a1c2d3e4f5a6b7c80101")

#: Seconds that the client gives a call, and those in which it must have given up.
CALL_TIMEOUT = 0.25
BOUND = 5.0

JOB: Json = {
    "id": REF.job_id,
    "cancelled": False,
    "expired": False,
    "failed": False,
    "deliveryType": "download",
    "deliveryUrl": [LINK],
    "components": [{"downloadUrl": LINK, "replicaSetName": "shard-0"}],
    "privateDownloadDeliveryUrls": [{"deliveryUrl": LINK, "endpointId": "vpce-1"}],
    "expiresAt": "2026-11-25T05:00:00Z",
    "finishedAt": None,
    "timestamp": "2026-11-25T03:00:00Z",
    "snapshotId": "65f0a1c2d3e4f5a6b7c80fff",
    "targetClusterName": "other",
    "targetGroupId": REF.project_id,
    "desiredTimestamp": {"date": None, "increment": None, "time": None},
    "links": [{"href": "https://cloud.mongodb.com/x", "rel": "self"}],
}
ERROR: Json = {
    "detail": f"Look at {LINK} instead.",
    "error": 404,
    "errorCode": "RESTORE_JOB_NOT_FOUND",
    "parameters": [REF.job_id, 7, None],
    "reason": "Not Found",
}
PAGE: Json = {
    "links": [{"href": "https://cloud.mongodb.com/x?pageNum=2", "rel": "next"}],
    "results": [JOB],
    "totalCount": 1,
}
CLUSTER: Json = {"name": "prod-eu", "clusterType": "SHARDED", "stateName": "IDLE", "paused": False}
ENVELOPE: Json = {"status": 200, "content": JOB}

MOMENTS = (
    *("2026-11-25T03:00:00Z", "2026-11-25", "0001-01-01T00:00:00+14:00", "20261125T030000Z"),
    *("9999-12-31T23:59:59-14:00", "1e400", "-1", "2026-02-30T00:00:00Z", "24:00", ""),
    *(10**12, -(10**12), 10**30, 1e300, True, "2026-11-25T03:00:00.123456789123Z"),
)
TYPES = ("automated", "pointInTime", "DOWNLOAD", "download ", "torrent", "x" * 65, "", 7)

wholes = st.sampled_from([JOB, ERROR, PAGE, {**PAGE, "results": [CLUSTER]}, ENVELOPE, CLUSTER])


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Something that Atlas might answer, or nearly."""
    match draw(st.sampled_from(["whole", "dates", "types", "bent", "bent", "odd"])):
        case "dates":
            names = ("expiresAt", "finishedAt", "timestamp")
            return JOB | {name: draw(st.sampled_from(MOMENTS)) for name in names}
        case "types":
            return JOB | {
                "deliveryType": draw(st.sampled_from(TYPES)),
                "snapshotId": draw(anything),
            }
        case "bent":
            return mutated(draw(wholes), draw(mutations))
        case "odd":
            return draw(odd_values)
        case _:
            return draw(wholes)


#: The damage of a document on its way.
SPOILT: tuple[Callable[[str], bytes], ...] = (
    *(str.encode,) * 5,
    lambda text: text[: len(text) // 2].encode(),
    lambda _text: f"<html><a href='{LINK}'>502 Bad Gateway</a></html>".encode(),
    lambda text: b"\xff\xfe" + text.encode("utf-16"),
    lambda text: text.replace("{", '{"id": 1, "id": "x", ', 1).encode(),
    lambda _text: b"[" * 100_000,
    lambda text: text.replace("false", "NaN").replace("null", "Infinity").encode(),
    lambda text: text.replace("false", "9" * 5000).encode(),
    lambda text: gzip.compress(text.encode()),
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Write a document as JSON, as nearly that, or as something else."""
    if draw(st.integers(0, 13)) == 0:
        return draw(st.binary(max_size=300))
    return draw(st.sampled_from(SPOILT))(json.dumps(draw(documents())))


CHALLENGE = (
    'Digest realm="MMS Public API", domain="", nonce="abcdefghijklmnopqrstuvwxyz012345", '
    'algorithm=MD5, qop="auth", stale=false'
)
CHALLENGES = (
    *(CHALLENGE, CHALLENGE.replace("false", "true"), "Basic realm=x", "Digest", "", "Negotiate"),
    *(CHALLENGE.replace("MD5", "SHA-512"), CHALLENGE.replace('"auth"', '"auth-int"')),
    *(CHALLENGE.replace("nonce", "once"), CHALLENGE[:60], "Digest " + ", " * 3000),
    *("Digest " + 'a="' * 2000, "Digest realm=" + '"\\' * 2000, f"{CHALLENGE}, {CHALLENGE}"),
    *(f"Bearer x, {CHALLENGE}", CHALLENGE.replace("abc", "a\xe9c"), "a=" * 4000),
)
HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Type": ("application/json", "text/html; charset=klingon", "a/b; charset=utf-16", ""),
    "Retry-After": ("3", "-1", "9" * 300, "Wed, 25 Nov 2026 03:00:00 GMT", "٣", "1e9"),
    "Date": ("Wed, 25 Nov 2026 03:00:00 GMT", "Mon, 01 Jan 99999999999999999999 00:00:00", "x", ""),
    "RateLimit-Remaining": ("5", "-1", "²", "9" * 5000),
    "X-Error-Code": ("RATE_LIMITED", LINK, "\x80\x81"),
    "Content-Encoding": ("gzip", "identity", "deflate", "br", "zstd", "gzip, gzip", "klingon"),
    "Location": (LINK, "/", "http://[", "//\x80"),
    "Set-Cookie": ("a=b", "a=" + "b" * 5000, "=;=;", "a=b; expires=Thu, 99 Foo 99999 99:99:99"),
    "Connection": ("close", "keep-alive", "upgrade"),
    "WWW-Authenticate": CHALLENGES,
}
STATUSES = (
    *(200, 200, 200, 200, 201, 202, 204, 206, 301, 302, 304, 400, 401, 401, 403, 404, 405),
    *(406, 407, 408, 409, 410, 418, 425, 429, 451, 500, 502, 503, 504, 599, 600, 999),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, or a malformed one."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    frame: str

    def head(self, *extra: str) -> bytes:
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{n}: {v}" for n, v in self.headers)]
        return ("\r\n".join([*lines, *extra]) + "\r\n\r\n").encode("latin-1", "replace")

    async def write(self, out: asyncio.StreamWriter, gone: asyncio.StreamReader) -> None:
        """Write it, for as long as the other side takes it."""
        if self.frame == "silence":
            await gone.read(1)
        elif self.frame in {"endless", "drip"}:
            await self._go_on(out)
        else:
            out.write(FRAMED[self.frame](self, f"Content-Length: {len(self.body)}"))
        await out.drain()

    async def _go_on(self, out: asyncio.StreamWriter) -> None:
        pause, piece = (0.02, b" ") if self.frame == "drip" else (0.0, b" " * 65_536)
        out.write(self.head("Connection: close"))
        until = time.monotonic() + BOUND
        while time.monotonic() < until:
            out.write(piece)
            await out.drain()
            await asyncio.sleep(pause)


CHUNKED = "Transfer-Encoding: chunked"
#: The framing of a body, valid or not; given the line with its length.
FRAMED: dict[str, Callable[[Answer, str], bytes]] = {
    "length": lambda each, size: each.head(size) + each.body,
    "chunked": lambda each, _: (
        each.head(CHUNKED) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(each.body), each.body)
    ),
    "close": lambda each, _: each.head("Connection: close") + each.body,
    "short": lambda each, size: each.head(size) + each.body[:-9],
    "long": lambda each, size: each.head(size) + each.body + b"more than was said",
    "bad chunk": lambda each, _: each.head(CHUNKED) + b"zz\r\n" + each.body,
    "half a chunk": lambda each, _: each.head(CHUNKED) + b"fff\r\n" + each.body[:99],
    "both": lambda each, size: each.head(size, CHUNKED) + each.body,
    "two": lambda each, size: each.head(size, "Content-Length: 1") + each.body,
    "headers": lambda each, size: each.head(*(f"X-{n}: {'x' * 500}" for n in range(500)), size),
    "no http": lambda each, _: b"\x15\x03\x01\x00\x02\x02\x46" + each.body,
    "1xx": lambda each, size: (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" * 20
        + each.head(size)
        + each.body
    ),
}
FRAMES = ("length",) * 4 + (*sorted(FRAMED), "endless", "drip", "silence")


ASKS_FOR_LOGIN = Answer(
    status=401, headers=[("WWW-Authenticate", CHALLENGE)], body=b"{}", frame="length"
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """One answer of any kind."""
    names = draw(st.lists(st.sampled_from(sorted(HEADERS)), max_size=4, unique=True))
    headers = [(name, draw(st.sampled_from(HEADERS[name]))) for name in names]
    return Answer(
        status=draw(st.sampled_from(STATUSES)),
        headers=headers,
        body=draw(bodies()),
        frame=draw(st.sampled_from(FRAMES)),
    )


@dataclass(slots=True)
class MalformedAtlas:
    """A server that gives its answers in turn, and the last one over and over."""

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    asked: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while await reader.readuntil(b"\r\n\r\n"):
                answer = self.answers[min(self.asked, len(self.answers) - 1)]
                self.asked += 1
                await answer.write(writer, reader)
                if answer.frame not in {"length", "chunked", "1xx"}:
                    break
        self.writers.discard(writer)
        writer.close()


@asynccontextmanager
async def malformed_atlas() -> AsyncIterator[MalformedAtlas]:
    atlas = MalformedAtlas()
    server = await asyncio.start_server(atlas.handle, "127.0.0.1", 0)
    atlas.port = server.sockets[0].getsockname()[1]
    try:
        yield atlas
    finally:
        server.close()
        for writer in atlas.writers:
            writer.close()
        await server.wait_closed()


async def no_sleep(_seconds: float) -> None:
    return None


CALLS = ("job", "jobs", "clusters", "project", "cancel")


async def call(atlas: MalformedAtlas, given: list[Answer], which: str, *, envelope: bool) -> object:
    """Let the client make one call, and check its result; raises `Found`."""
    atlas.answers, atlas.asked = given, 0
    began = time.monotonic()
    key = DigestKey("public", SecretStr("private"))
    async with AtlasClient(
        key,
        base_url=atlas.url,
        envelope=envelope,
        request_timeout=CALL_TIMEOUT,
        timeout=CALL_TIMEOUT,
        sleep=no_sleep,
    ) as client:
        outcome = await _outcome(client, which)
    seconds = time.monotonic() - began
    if seconds > BOUND:
        raise Found(f"{which} took {seconds:.1f} s: {given!r}")
    check(outcome, given)
    return outcome


async def _outcome(client: AtlasClient, which: str) -> object:
    try:
        match which:
            case "job":
                return await client.restore_job(REF)
            case "jobs":
                return await client.restore_jobs(REF.project_id, REF.cluster_name, retry=False)
            case "clusters":
                return await client.clusters(REF.project_id)
            case "project":
                return await client.project(REF.project_id)
            case _:
                return await client.cancel_restore_job(REF)
    except AtlasError as error:
        return error


def check(outcome: object, given: object) -> None:
    """Check that an outcome has a sentence for people, and no link."""
    for each in outcome if isinstance(outcome, list) else [outcome]:
        if isinstance(each, AtlasError):
            _check_error(each, given)
        # Names of clusters and projects are chosen by people, and are no place for links.
        if isinstance(each, RestoreJob):
            _check_job(each)
            if SECRET in repr(each):
                raise Found(f"a link is kept in a job: {given!r}")


def _check_error(error: AtlasError, given: object) -> None:
    sentence = str(error)
    if not 10 < len(sentence) < 300 or not sentence.isprintable() or not sentence.endswith("."):
        raise Found(f"{sentence!r} is no sentence, after {given!r}")
    held: BaseException | None = error
    while held is not None:
        if SECRET in f"{held!r} {vars(held)!r}":
            raise Found(f"a link is kept in {held!r}: {given!r}")
        held = held.__cause__ or held.__context__


def _check_job(job: RestoreJob) -> None:
    """Use every field as the rest of the bot does."""
    assert job.state.sentence
    for moment in (job.snapshot_time, job.finished_at, job.expires_at):
        if moment is not None:
            moment.astimezone()
            moment.isoformat()
            moment.timestamp()
