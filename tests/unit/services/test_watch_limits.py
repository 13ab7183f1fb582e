"""The watches of a process in simulated time: how often they look, and what they take of Atlas."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, pairwise

import httpx
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.atlas import AtlasGateway, CallLimiter, DigestKey
from bot.atlas.activity import RESTORE_REQUESTED
from bot.cancellation.policy import Policies
from bot.services.feed import Feed
from bot.services.projects import Project
from bot.services.watch import Watch
from bot.storage.download_store import DownloadStore
from tests.support.atlas_client import AtlasClient
from tests.support.clock import SimulatedLoop, most_in, simulate
from tests.support.core import core_environment
from tests.support.domain import POLICY

INTERVAL, ROUNDS = 60.0, 2
#: What the rest of a round, with the reads of the feed between, may add to the interval.
SLACK = 10.0
#: The same once: the first look at a large project is faster than the round after it.
SLACK_AFTER_FIRST_LOOK = 20.0
FIRST_LOOK = 30.0  #: seconds in which a start looks at 500 clusters in 40 projects


@dataclass
class BusyAtlas:
    """Projects with clusters, whose answers take some time.

    Attributes:
        clusters: the names of the clusters, by project.
        seconds: that the answers take, in turn.
        has_starts: whether each read of the feed shows a new start, whose job no list has.
        calls: the projects, paths and times of all calls.
    """

    loop: SimulatedLoop
    clusters: dict[str, list[str]]
    seconds: Sequence[float]
    has_starts: bool = False
    calls: list[tuple[str, str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.latencies = cycle(self.seconds)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        project, _, path = request.url.path.partition("/groups/")[2].partition("/")
        self.calls.append((project, f"/{path}", self.loop.time()))
        await asyncio.sleep(next(self.latencies))
        items: list[dict[str, str]] = []
        match path.split("/"):
            case ["clusters"]:
                items = [{"name": name} for name in self.clusters[project]]
            case ["events"]:
                items = [self._start()] if self.has_starts else []
        return httpx.Response(200, json={"links": [], "results": items})

    def _start(self) -> dict[str, str]:
        return {
            "id": f"{len(self.calls):024x}",
            "created": self.loop.wall().isoformat(),
            "eventTypeName": RESTORE_REQUESTED,
        }

    def moments(self) -> dict[tuple[str, int], list[float]]:
        """Return the times of the calls that share a limit of a project, in calls a minute."""
        found = defaultdict(list)
        for project, path, at in self.calls:
            limit = 100 if path.endswith("/events") else 500 if "/backup/" in path else 5000
            found[project, limit].append(at)
        return found

    def reads(self) -> dict[tuple[str, str], list[float]]:
        """Return the times of the reads of each cluster."""
        found: dict[tuple[str, str], list[float]] = {
            (project, f"/clusters/{name}/backup/restoreJobs"): []
            for project, names in self.clusters.items()
            for name in names
        }
        for project, path, at in self.calls:
            if (project, path) in found:
                found[project, path].append(at)
        return found


async def watch(atlas: BusyAtlas, seconds: float) -> None:
    """Watch all projects from a start on."""
    loop = atlas.loop
    limiter = CallLimiter(monotonic=loop.time)
    client = AtlasClient(
        DigestKey("key", SecretStr("secret")),
        transport=httpx.MockTransport(atlas.answer),
        monotonic=loop.time,
    )
    async with core_environment() as env, client:
        downloads = DownloadStore(env.database, loop.wall, env.lease)
        projects = [
            Project(
                id=project,
                name=project,
                policies=Policies(default=POLICY),
                gateway=AtlasGateway(project, client, limiter, loop.wall, loop.time),
            )
            for project in atlas.clusters
        ]
        watches = [
            Watch(
                project,
                Feed(project, downloads, loop.wall),
                downloads,
                lambda _at: None,
                INTERVAL,
                loop.wall,
                monotonic=loop.time,
            )
            for project in projects
        ]
        for item in watches:
            await item.start(loop.wall())
        running = [asyncio.create_task(item.run()) for item in watches]
        await asyncio.sleep(seconds)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for project in projects:
            await project.gateway.close()


LATENCIES = st.lists(st.floats(min_value=0.0, max_value=2.0), min_size=1, max_size=5)
SEVERAL_PROJECTS = st.lists(st.integers(min_value=1, max_value=8), min_size=1, max_size=3)
LARGE_PROJECT = st.lists(st.integers(min_value=30, max_value=70), min_size=1, max_size=1)


@given(SEVERAL_PROJECTS | LARGE_PROJECT, LATENCIES, st.booleans())
@example([60], [0.1], True)  # noqa: FBT003 - as the strategy gives it
@example([60], [0.5], False)  # noqa: FBT003 - the same
@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_each_cluster_is_read_in_time_and_the_watch_takes_a_quarter_of_the_limits(
    clusters: list[int], seconds: list[float], has_starts: bool
) -> None:
    names = {
        f"{number:024x}": [f"cluster{index}" for index in range(count)]
        for number, count in enumerate(clusters)
    }

    async def run(loop: SimulatedLoop) -> BusyAtlas:
        atlas = BusyAtlas(loop, names, seconds, has_starts)
        await watch(atlas, ROUNDS * INTERVAL)
        return atlas

    atlas = simulate(run)

    for first, *moments in atlas.reads().values():
        second, *_ = [*moments, ROUNDS * INTERVAL]
        assert first <= INTERVAL
        assert second - first <= INTERVAL + SLACK_AFTER_FIRST_LOOK
        times = [second, *moments[1:], ROUNDS * INTERVAL]
        assert max(after - before for before, after in pairwise(times)) <= INTERVAL + SLACK
    for (_, limit), moments in atlas.moments().items():
        assert most_in(60.0, moments) <= limit / 4
    looked = max(moments[0] for moments in atlas.reads().values())
    assert most_in(1.0, [at for _, _, at in atlas.calls if at > looked]) <= 10


def test_start_looks_at_all_clusters_before_it_reads_a_feed() -> None:
    names = {f"{number:024x}": [f"c{index}" for index in range(12)] for number in range(40)}
    names["0" * 24] += [f"large{index}" for index in range(20)]

    async def run(loop: SimulatedLoop) -> BusyAtlas:
        atlas = BusyAtlas(loop, names, [0.2, 0.4])
        await watch(atlas, FIRST_LOOK + 15.0)
        return atlas

    atlas = simulate(run)

    reads = atlas.reads().values()
    assert len(reads) == 500
    looked = max(moments[0] for moments in reads)
    assert looked < FIRST_LOOK
    assert looked < min(at for _, path, at in atlas.calls if path == "/events")
    assert most_in(1.0, [at for _, _, at in atlas.calls]) <= 25
    assert most_in(1.0, [at for _, _, at in atlas.calls if at > looked]) <= 10
