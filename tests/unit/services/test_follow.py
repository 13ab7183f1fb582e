"""The follower: stored downloads are read every few seconds until they end."""

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from bot.atlas import ClusterNotFound, JobNotFound, JobRef
from bot.atlas.errors import Unavailable
from bot.services.follow import INTERVAL, Follower
from bot.services.projects import Project, Projects
from bot.storage.download_store import Listing
from tests.support.core import CoreEnvironment
from tests.support.domain import LINK, REF, job_ref, restore_job
from tests.support.fake_atlas import CANCELLED, GET, Answer, FakeAtlas
from tests.support.polling import wait_until


@dataclass
class Followed:
    """A follower, with what it told the metrics and which feeds it read."""

    env: CoreEnvironment
    feeds: list[str] = field(default_factory=list)

    async def read_feed(self, project: Project) -> None:
        self.feeds.append(project.name)

    def follower(self, projects: Projects | None = None) -> Follower:
        env = self.env
        named = projects or env.projects
        return Follower(
            named,
            env.downloads,
            env.clock,
            self.read_feed,
            monotonic=env.clock.monotonic,
        )

    async def step(self, follower: Follower | None = None) -> None:
        """Let it read what is due, to the end."""
        follower = follower or self.follower()
        await follower.step()
        await follower.idle()


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
        await followed.step(follower)
        reads.append(len(env.atlas.calls))

    assert reads == [1, 1, 2, 3, 3]
    assert (await env.download()).ended == "cancelled"


NOT_FOUND, DOWN = JobNotFound(status=404), Unavailable(status=503)
LISTED, NO_JOB, NO_CLUSTER = "listed", "no job", "no cluster"


@pytest.mark.parametrize(
    ("answers", "shown", "ended"),
    [
        ([NOT_FOUND] * 4, NO_JOB, "gone"),
        ([NOT_FOUND] * 4, NO_CLUSTER, "gone"),
        ([NOT_FOUND] * 3, NO_JOB, None),  # for 24 s
        ([NOT_FOUND] * 9, LISTED, None),
        ([NOT_FOUND, NOT_FOUND, DOWN, NOT_FOUND, NOT_FOUND, NOT_FOUND], NO_JOB, None),
        ([NOT_FOUND, NOT_FOUND, {}, NOT_FOUND, NOT_FOUND, NOT_FOUND], NO_JOB, None),
        ([DOWN] * 9, NO_JOB, None),
    ],
)
async def test_download_is_gone_after_404s_for_30_s_and_a_list_without_it(
    env: CoreEnvironment,
    followed: Followed,
    answers: list[Answer],
    shown: str,
    ended: str | None,
) -> None:
    await env.see()
    if shown is not LISTED:
        del env.atlas.jobs_now[REF]
    if shown is NO_CLUSTER:
        env.atlas.faults[REF.cluster_name] = ClusterNotFound(status=404)
    else:
        env.atlas.empty_clusters = [REF.cluster_name]
    follower = followed.follower()
    env.atlas.gets.extend(answers)
    for _ in answers:
        env.clock.advance(INTERVAL)
        await followed.step(follower)

    assert (await env.download()).ended == ended


@pytest.mark.parametrize("unread", ["", REF.job_id])
async def test_list_that_could_not_be_read_whole_ends_no_download(
    env: CoreEnvironment, followed: Followed, unread: str
) -> None:
    await env.see()
    del env.atlas.jobs_now[REF]
    env.atlas.empty_clusters, env.atlas.unread = [REF.cluster_name], [unread]
    follower = followed.follower()
    for _ in range(5):
        env.clock.advance(INTERVAL)
        await followed.step(follower)

    assert (await env.download()).ended is None


async def test_live_link_is_stored_and_counted_once(
    env: CoreEnvironment, followed: Followed
) -> None:
    await env.see()
    env.atlas.jobs_now[REF] = LINK
    follower = followed.follower()
    for _ in range(3):
        env.clock.advance(INTERVAL)
        await followed.step(follower)

    assert (await env.download()).has_link
    assert [item.after.ref for item in env.download_changes if item.shows_link] == [REF]


async def test_download_that_cannot_be_read_stops_no_other(
    env: CoreEnvironment, followed: Followed
) -> None:
    second = job_ref(number=2)
    await env.see(second, REF)
    env.atlas.jobs_now |= {REF: {"failed": True}, second: {"failed": True}}
    env.atlas.gets.append(Unavailable(status=503))
    await followed.step()

    assert len(await env.downloads.going_on()) == 1


async def test_reads_of_one_project_that_wait_hold_up_no_other_project(
    env: CoreEnvironment, followed: Followed
) -> None:
    other = JobRef("5b6212af90dc76637950a2ff", "prod-eu", job_ref(number=2).job_id)
    await env.see()
    listing = Listing(
        project_id=other.project_id,
        cluster="prod-eu",
        jobs=[restore_job(other)],
        read_at=env.clock.now,
    )
    await env.downloads.record_listing(listing, env.policy)
    atlas = FakeAtlas(env.clock, [other], project_id=other.project_id)
    atlas.gates[GET] = asyncio.Event()
    waiting = replace(env.project, id=other.project_id, gateway=atlas)
    follower = followed.follower(Projects([env.project, waiting]))

    def has_read(count: int) -> bool:
        is_idle = env.project.id not in follower._tasks
        return is_idle and len(env.atlas.calls) == count

    for reads in (1, 2, 3):
        await follower.step()
        await wait_until(partial(has_read, reads))
        env.clock.advance(INTERVAL)
    reads_of_other = len(atlas.calls)
    atlas.gates[GET].set()
    await follower.idle()

    assert (reads_of_other, len(atlas.calls)) == (1, 1)


async def test_feed_is_read_only_where_no_watch_reads_it(
    env: CoreEnvironment, followed: Followed
) -> None:
    await env.see()
    await followed.step()
    watched = list(followed.feeds)
    env.policy = replace(env.policy, channel=None)
    env.build()
    await followed.step()

    assert (watched, followed.feeds) == ([], ["shop"])


async def test_download_of_a_project_that_is_not_named_any_more_is_not_read(
    env: CoreEnvironment, followed: Followed
) -> None:
    await env.see()
    await followed.step(followed.follower(Projects([])))

    assert env.atlas.calls == []


async def test_read_counts_from_when_it_began(env: CoreEnvironment, followed: Followed) -> None:
    await env.see()
    env.clock.advance(INTERVAL)
    began = env.clock.now
    env.atlas.on_call = lambda _name: env.clock.advance(5)

    await followed.step()

    assert (await env.download()).read_at == began
