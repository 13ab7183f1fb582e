"""A process that reads Atlas in simulated time: time passes only where everything waits for it."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import httpx

from bot.atlas import AtlasGateway, CallLimiter
from tests.support.atlas_client import AtlasClient
from tests.support.clock import SimulatedTime
from tests.unit.atlas.strict_server import CLUSTER, KEY, PROJECT, download_job, page, refusal

T = TypeVar("T")


class Simulation:
    """Simulated time, and a limiter in it."""

    def __init__(self) -> None:
        self.time = SimulatedTime()
        self.limiter = CallLimiter(monotonic=self.time.monotonic, sleep=self.time.sleep)

    async def settle(self) -> None:
        """Let everything run that waits for no time."""
        for _ in range(40):
            await asyncio.sleep(0)

    async def result(self, work: Awaitable[T]) -> T:
        """Let time pass until the work is done."""
        task = asyncio.ensure_future(work)
        await self.settle()
        while not task.done():
            self.time.advance(max(self.time.next_at - self.time.elapsed, 0.0))
            await self.settle()
        return await task

    async def advance(self, seconds: float) -> None:
        """Let this time pass, with everything that happens in it."""
        end = self.time.elapsed + seconds
        await self.settle()
        while self.time.next_at <= end:
            self.time.advance(max(self.time.next_at - self.time.elapsed, 0.0))
            await self.settle()
        self.time.advance(end - self.time.elapsed)
        await self.settle()


class SimulatedProject(Simulation):
    """One project in a simulated Atlas, which takes a tenth of a second for each answer.

    Attributes:
        jobs: each cluster's jobs; a cluster without an entry is not there.
        answers: what takes the place of an answer, by the end of its path; used up one by one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, list[dict[str, object]]] = {CLUSTER: [download_job()]}
        self.events: list[dict[str, object]] = []
        self.answers: dict[str, list[httpx.Response]] = {}
        self.asked: list[str] = []
        self.seconds = 0.1
        client = AtlasClient(
            KEY,
            transport=httpx.MockTransport(self._answer),
            sleep=self.time.sleep,
            monotonic=self.time.monotonic,
            jitter=lambda: 0.0,
        )
        self.gateway = AtlasGateway(
            PROJECT, client, self.limiter, now=lambda: self.time.wall, monotonic=self.time.monotonic
        )

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(f"/api/atlas/v2/groups/{PROJECT}")
        self.asked.append(path)
        await self.time.sleep(self.seconds)
        for end, answers in self.answers.items():
            if path.endswith(end) and answers:
                return answers.pop(0)
        return self._usual(path)

    def _usual(self, path: str) -> httpx.Response:
        match path.split("/")[1:]:
            case []:
                return httpx.Response(200, json={"id": PROJECT, "name": "shop"})
            case ["events"]:
                return page(*self.events)
            case ["clusters"]:
                return page(*({"name": name} for name in self.jobs))
            case ["clusters", name, "backup", "restoreJobs", *ids] if name in self.jobs:
                return one_of(self.jobs[name], ids[0]) if ids else page(*self.jobs[name])
        return refusal(404, "CLUSTER_NOT_FOUND")

    @property
    def lists(self) -> int:
        """How often the jobs of the cluster were read."""
        return len([path for path in self.asked if path.endswith("/restoreJobs")])


def one_of(jobs: list[dict[str, object]], job_id: str) -> httpx.Response:
    found = next((job for job in jobs if job["id"] == job_id), None)
    return httpx.Response(200, json=found) if found else refusal(404, "RESTORE_JOB_NOT_FOUND")
