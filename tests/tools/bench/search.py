"""Search for a job by its id among 1, 60 and 400 clusters, with 40 ms to Atlas."""

from __future__ import annotations

import math
import random
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from bot.atlas import DigestKey
from bot.cancellation.policy import Policies
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY
from bot.services.job_search import MAX_CONCURRENT_CALLS, SEARCH_TIMEOUT, JobFinder
from bot.services.projects import Project, Projects
from tests.support.atlas_client import AtlasClient
from tests.tools.bench.load_environment import Program
from tests.tools.bench.peers.atlas import job_of
from tests.tools.bench.proxy import with_round_trip
from tests.tools.reporting.report import Goal, Row, Table, in_turn, median

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bot.atlas import CallRecord
    from tests.tools.reporting.report import Scale

#: Seconds of the added round trip.
ROUND_TRIP = 0.04

CLUSTERS = (1, 60, 400)

#: A job that exists in no cluster.
UNKNOWN_JOB = "f" * 24

COLUMNS = ("ms", "calls", "not found ms", "not found calls", "least ms")

NOTES = (
    (
        "The job is in a random cluster, or in none, so that all are read. The cluster names"
        f" are cached, the connections warm, and {MAX_CONCURRENT_CALLS} calls run concurrently."
    ),
    (
        "A search that finds its job cancels the calls in flight. Their nonces are not reused, so"
        " the next search, for a job in no cluster, includes as many new logins."
    ),
    f"Least: one round trip per cluster, {MAX_CONCURRENT_CALLS} concurrently.",
)


@dataclass(slots=True)
class SearchEnvironment:
    """A job finder with a fake Atlas."""

    clusters: int
    finder: JobFinder
    project: Project
    calls: Counter[str]
    chance: random.Random

    async def search(self) -> dict[str, float]:
        """Search for an existing and an unknown job; return seconds and calls of both."""
        found = await self._for(job_of(self.chance.randrange(self.clusters)), is_there=True)
        nowhere = await self._for(UNKNOWN_JOB, is_there=False)
        return {"ms": found[0], "calls": found[1], "nowhere": nowhere[0], "asked": nowhere[1]}

    async def _for(self, job: str, *, is_there: bool) -> tuple[float, int]:
        self.calls.clear()
        begun = time.perf_counter()
        search = await self.finder.search(job, [self.project])
        seconds = time.perf_counter() - begun
        assert (search.found is not None, search.unavailable) == (is_there, [])
        return seconds, self.calls["calls"]


async def measure(scale: Scale) -> list[Table]:
    async with AsyncExitStack() as stack:
        environments = {clusters: await _environment(stack, clusters) for clusters in CLUSTERS}
        variants: dict[str, Callable[[], Awaitable[dict[str, float]]]] = {
            str(clusters): each.search for clusters, each in environments.items()
        }
        given = await in_turn(variants, scale.pick(3, 20), warm=1)
    rows = [_row(clusters, given[str(clusters)]) for clusters in CLUSTERS]
    longest = max(each["nowhere"] for each in given[str(CLUSTERS[-1])])
    text = f"all of {CLUSTERS[-1]} clusters are read within the {SEARCH_TIMEOUT:g} s of a search"
    goal = Goal.at_most(text, longest, SEARCH_TIMEOUT)
    title = f"JOB_ID alone, at {ROUND_TRIP * 1000:.0f} ms round trips"
    return [
        Table(title=title, columns=COLUMNS, rows=rows, first="clusters", goals=[goal], notes=NOTES)
    ]


def _row(clusters: int, rounds: list[dict[str, float]]) -> Row:
    medians = {name: median([each[name] for each in rounds]) for name in rounds[0]}
    least = math.ceil(clusters / MAX_CONCURRENT_CALLS) * ROUND_TRIP * 1000
    cells = (medians["ms"] * 1000, int(medians["calls"]), medians["nowhere"] * 1000)
    return Row(str(clusters), [*cells, int(medians["asked"]), least])


async def _environment(stack: AsyncExitStack, clusters: int) -> SearchEnvironment:
    program = Program(sys.executable, "-m", "tests.tools.bench.peers.atlas", str(clusters), core=1)
    port = (await stack.enter_context(program).ready_line())["port"]
    slow = await stack.enter_async_context(with_round_trip(port, ROUND_TRIP))
    calls: Counter[str] = Counter()

    def count(_answered: CallRecord) -> None:
        calls["calls"] += 1

    key = DigestKey(PUBLIC_KEY, SecretStr(PRIVATE_KEY))
    client = AtlasClient(key, base_url=f"http://127.0.0.1:{slow}", observe=count)
    atlas = await stack.enter_async_context(client)
    project = Project(id=PROJECT_ID, name="shop-prod", policies=Policies(), atlas=atlas)
    finder = JobFinder(Projects([project]))
    stack.push_async_callback(finder.close)
    chance = random.Random(clusters)  # noqa: S311 - the same clusters in every run, no secret
    return SearchEnvironment(clusters, finder, project, calls, chance)
