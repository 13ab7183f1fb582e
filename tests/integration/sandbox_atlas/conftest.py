"""A fake Atlas on a free port with a fake clock, and clients."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, FakeAtlasServer
from tests.support.clock import FakeClock

V2 = "application/vnd.atlas.2023-01-01+json"
GROUP = f"/groups/{PROJECT_ID}"


@dataclass
class Caller:
    """Calls one API version with digest credentials."""

    http: httpx.AsyncClient
    root: str
    accept: str
    auth: httpx.Auth | None

    async def call(self, method: str, path: str, **query: str) -> httpx.Response:
        return await self.http.request(
            method,
            f"{self.root}{path}",
            params=query or None,
            headers={"Accept": self.accept},
            auth=self.auth,
        )

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self.call("GET", path, **query)

    async def delete(self, path: str) -> httpx.Response:
        return await self.call("DELETE", path)


def job_path(cluster: str, job_id: str) -> str:
    return f"{GROUP}/clusters/{cluster}/backup/restoreJobs/{job_id}"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def atlas(clock: FakeClock) -> AsyncIterator[FakeAtlasServer]:
    async with FakeAtlasServer(clock=clock) as running:
        yield running


@pytest.fixture
async def http(atlas: FakeAtlasServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=atlas.url, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def v2(http: httpx.AsyncClient) -> Caller:
    return Caller(http, "/api/atlas/v2", V2, httpx.DigestAuth(PUBLIC_KEY, PRIVATE_KEY))


@dataclass(frozen=True, slots=True)
class AtlasEnv:
    """The fake Atlas with its clock, and clients of the v2 API and of none."""

    atlas: FakeAtlasServer
    clock: FakeClock
    http: httpx.AsyncClient
    v2: Caller


@pytest.fixture
def env(
    atlas: FakeAtlasServer,
    clock: FakeClock,
    http: httpx.AsyncClient,
    v2: Caller,
) -> AtlasEnv:
    return AtlasEnv(atlas, clock, http, v2)
