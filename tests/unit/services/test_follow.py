"""The follower: stored downloads are read every few seconds until they end."""

from dataclasses import dataclass, field, replace

import pytest

from bot.atlas import Unavailable
from bot.services.follow import INTERVAL, Follower
from bot.services.observations import Observations
from bot.services.projects import Project, Projects
from tests.support.core import CoreEnvironment
from tests.support.domain import LINK, REF, job_ref
from tests.support.fake_atlas import CANCELLED


@dataclass
class Followed:
    """A follower, with what it told the metrics and which feeds it read."""

    env: CoreEnvironment
    links: list[str] = field(default_factory=list)
    feeds: list[str] = field(default_factory=list)

    async def read_feed(self, project: Project) -> None:
        self.feeds.append(project.name)

    def follower(self, projects: Projects | None = None) -> Follower:
        env = self.env
        named = projects or env.projects
        observations = Observations(projects=named, now=env.clock, on_link_seen=self.links.append)
        return Follower(
            named,
            env.downloads,
            observations,
            env.clock,
            self.read_feed,
            monotonic=env.clock.monotonic,
        )


@pytest.fixture
def followed(env: CoreEnvironment) -> Followed:
    return Followed(env)


async def test_download_is_read_in_each_interval_until_it_ends(
    env: CoreEnvironment, followed: Followed
) -> None:
    await env.see()
    follower = followed.follower()
    reads: list[int] = []
    for after in (0.0, INTERVAL - 1, 1.0, INTERVAL, INTERVAL):
        env.clock.advance(after)
        if len(reads) == 3:
            env.atlas.jobs_now[REF] = CANCELLED
        await follower.step()
        reads.append(len(env.atlas.calls))

    assert reads == [1, 1, 2, 3, 3]
    assert (await env.download()).ended == "cancelled"


async def test_live_link_is_stored_and_counted_once(
    env: CoreEnvironment, followed: Followed
) -> None:
    await env.see()
    env.atlas.jobs_now[REF] = LINK
    follower = followed.follower()
    for _ in range(3):
        env.clock.advance(INTERVAL)
        await follower.step()

    assert (await env.download()).has_link
    assert followed.links == ["shop"]


async def test_download_that_cannot_be_read_stops_no_other(
    env: CoreEnvironment, followed: Followed
) -> None:
    second = job_ref(number=2)
    await env.see(second, REF)
    env.atlas.jobs_now |= {REF: {"failed": True}, second: {"failed": True}}
    env.atlas.gets.append(Unavailable(status=503))
    await followed.follower().step()

    assert len(await env.downloads.going_on()) == 1


async def test_feed_is_read_only_where_no_watch_reads_it(
    env: CoreEnvironment, followed: Followed
) -> None:
    await env.see()
    await followed.follower().step()
    watched = list(followed.feeds)
    env.policy = replace(env.policy, channel=None)
    env.build()
    await followed.follower().step()

    assert (watched, followed.feeds) == ([], ["shop"])


async def test_download_of_a_project_that_is_not_named_any_more_is_not_read(
    env: CoreEnvironment, followed: Followed
) -> None:
    await env.see()
    await followed.follower(Projects([])).step()

    assert env.atlas.calls == []


async def test_read_counts_from_when_it_began(env: CoreEnvironment, followed: Followed) -> None:
    await env.see()
    env.clock.advance(INTERVAL)
    began = env.clock.now
    env.atlas.on_call = lambda _name: env.clock.advance(5)

    await followed.follower().step()

    assert (await env.download()).read_at == began
