"""An Atlas in memory with a strict digest gate, written from RFC 7616 and not from our client."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import httpx
import pytest
from pydantic import SecretStr

from bot.atlas import ApiVersion, AtlasError, CallRecord, DigestKey, JobRef, RestoreJob
from tests.support.atlas_client import AtlasClient
from tests.support.clock import FakeClock

PROJECT = "5b6212af90dc76637950a2c6"
CLUSTER = "MyCluster"
JOB = "5b622f7087d9d6039fafe03f"
REF = JobRef(PROJECT, CLUSTER, JOB)
KEY = DigestKey("abcdefgh", SecretStr("c0ffee00-private"))

JOB_PATH = f"/groups/{PROJECT}/clusters/{CLUSTER}/backup/restoreJobs/{JOB}"

Counts = Literal["unused", "exact"]

_PAIR = re.compile(r'(\w+)=(?:"([^"]*)"|([^,\s]+))')


def download_job(**changes: object) -> dict[str, object]:
    """A download job as Atlas answers it while it prepares the link."""
    return {
        "cancelled": False,
        "deliveryType": "download",
        "deliveryUrl": [],
        "desiredTimestamp": {"increment": None, "time": None, "date": None},
        "expired": False,
        "failed": False,
        "id": JOB,
        "links": [{"href": f"https://cloud.example/api/atlas/v2{JOB_PATH}", "rel": "self"}],
        "snapshotId": "5b622f7087d9d6039fafe000",
        "timestamp": "2026-11-01T10:00:00Z",
    } | changes


def page(*items: object, rels: tuple[str, ...] = ("self",), **more: object) -> httpx.Response:
    links = [{"href": "https://cloud.example/x?pageNum=1", "rel": rel} for rel in rels]
    return httpx.Response(200, json={"links": links, "results": items} | more)


def answer_job(request: httpx.Request) -> httpx.Response:
    if request.method == "DELETE":
        return httpx.Response(204)
    return httpx.Response(200, json=download_job())


def refusal(status: int, code: str | None, detail: str = "", **more: object) -> httpx.Response:
    """An error as Atlas's application writes it."""
    body: dict[str, object] = {"detail": detail, "error": status, "reason": "…"} | more
    return httpx.Response(status, json=body | ({"errorCode": code} if code else {}))


@dataclass
class ReceivedRequest:
    """One request that arrived, and the result of its authentication."""

    method: str
    status: int
    nc: str | None


@dataclass
class StrictAtlas:
    """Admits requests that answer the digest challenge; `counts` is the check of `nc`.

    unused: each count once, in any order. exact: only the next one, as Apache's
    AuthDigestNcCheck does.
    """

    answer: Callable[[httpx.Request], httpx.Response] = answer_job
    counts: Counts = "unused"
    challenge: str = (
        'Digest realm="MMS Public API", domain="", nonce="{nonce}", algorithm=MD5, qop="auth", '
        "stale={stale}"
    )
    private_key: str = KEY.secret.get_secret_value()
    uses: int = 1_000_000
    same_nonce: bool = False
    always_stale: bool = False
    seen: list[ReceivedRequest] = field(default_factory=list)
    nonces: dict[str, list[int]] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        given = {m[1]: m[2] if m[2] is not None else m[3] for m in _pairs(request)}
        verdict = self._gate(request, given)
        response = self.answer(request) if verdict == "ok" else self._ask(verdict)
        self.seen.append(ReceivedRequest(request.method, response.status_code, given.get("nc")))
        await asyncio.sleep(0)
        return response

    def expire_all(self) -> None:
        self.expired |= set(self.nonces)

    @property
    def statuses(self) -> list[int]:
        return [seen.status for seen in self.seen]

    def _gate(self, request: httpx.Request, given: dict[str, str]) -> str:
        if not given:
            return "first"
        if given["response"] != self._expected(request, given):
            return "wrong"
        used = self.nonces.get(given["nonce"])
        if used is None or given["nonce"] in self.expired or len(used) >= self.uses:
            return "stale"
        count = int(given["nc"], 16)
        last = max(used, default=0)
        refused = count in used if self.counts == "unused" else count != last + 1
        if refused or self.always_stale:
            return "stale" if self.always_stale else "count"
        used.append(count)
        return "ok"

    def _expected(self, request: httpx.Request, given: dict[str, str]) -> str:
        def h(text: str) -> str:
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

        secret = h(f"{given['username']}:{given['realm']}:{self.private_key}")
        target = h(f"{request.method}:{request.url.raw_path.decode()}")
        middle = [given[key] for key in ("nonce", "nc", "cnonce", "qop")]
        return h(":".join([secret, *middle, target]))

    def _ask(self, verdict: str) -> httpx.Response:
        nonce = "always-the-same+/" if self.same_nonce else f"nonce+/{len(self.nonces)}"
        self.nonces.setdefault(nonce, [])
        header = self.challenge.format(nonce=nonce, stale=str(verdict == "stale").lower())
        body = {"error": 401, "reason": "Unauthorized", "detail": "You are not authorized."}
        return httpx.Response(401, headers={b"WWW-Authenticate": header.encode()}, json=body)


def _pairs(request: httpx.Request) -> list[re.Match[str]]:
    return list(_PAIR.finditer(request.headers.get("Authorization", "")))


class Options(TypedDict, total=False):
    """The arguments of the client that tests set."""

    version: ApiVersion
    envelope: bool
    timeout: float
    request_timeout: float
    observe: Callable[[CallRecord], None]
    on_login_refused: Callable[[], None]


Handler = (
    Callable[[httpx.Request], httpx.Response]
    | Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]
)


def client(
    handler: Handler, *, clock: FakeClock | None = None, **options: Unpack[Options]
) -> AtlasClient:
    """A client whose network is `handler` and whose time is `clock`, without jitter."""
    clock = clock or FakeClock()
    return AtlasClient(
        KEY,
        transport=httpx.MockTransport(handler),
        sleep=clock.sleep,
        monotonic=clock.monotonic,
        jitter=lambda: 0.0,
        **options,
    )


async def read_job(handler: Handler, **options: Any) -> RestoreJob:
    async with client(handler, **options) as atlas:
        return await atlas.restore_job(REF)


E = TypeVar("E", bound=AtlasError)


async def failed_read(error: type[E], handler: Handler, **options: Any) -> E:
    """Read the job, which must raise `error`, and return that."""
    async with client(handler, **options) as atlas:
        with pytest.raises(error) as caught:
            await atlas.restore_job(REF)
    return caught.value


async def failed_cancel(error: type[E], handler: Handler, **options: Any) -> E:
    """Cancel the job, which must raise `error`, and return that."""
    async with client(handler, **options) as atlas:
        with pytest.raises(error) as caught:
            await atlas.cancel_restore_job(REF)
    return caught.value


class ScriptedTransport:
    """Returns the responses in turn, repeats the last one, and records the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]
