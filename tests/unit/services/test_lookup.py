"""What people are shown of Atlas: one job, wherever it is, or all that run."""

from dataclasses import replace

import pytest

from bot.atlas import ClusterNotFound, JobNotFound, JobRef
from bot.atlas.errors import AtlasRejected, Unavailable
from bot.cancellation.errors import NotRead, WrongCluster
from bot.services.lookup import Lookup, NotFoundInAtlas
from bot.services.projects import Project
from bot.storage.database import Database
from bot.storage.download_store import DownloadStore
from bot.storage.request_store import RequestStore
from tests.support.core import CoreEnvironment
from tests.support.domain import LINK, REF, job_id, job_ref
from tests.support.fake_atlas import CANCELLED, CLUSTERS, EVENTS, FakeAtlas, restore_event

OTHER_PROJECT = "5b6212af90dc76637950a2c7"


def lookup(env: CoreEnvironment) -> Lookup:
    return Lookup(
        downloads=env.downloads,
        requests=env.requests,
        feed_of=lambda _project: env.feed(),
        now=env.clock,
    )


def another_project(env: CoreEnvironment, *refs: JobRef, fault: str | None = None) -> Project:
    """Return a second project with these downloads; the calls of one name fail."""
    downloads = [replace(ref, project_id=OTHER_PROJECT) for ref in refs]
    atlas = FakeAtlas(env.clock, downloads, project_id=OTHER_PROJECT)
    if fault:
        atlas.faults[fault] = Unavailable(status=503)
    return replace(env.project, id=OTHER_PROJECT, name="billing", gateway=atlas)


@pytest.mark.parametrize("cluster", [None, "prod-eu", "PROD-EU"])
async def test_job_is_found_with_or_without_its_cluster(
    env: CoreEnvironment, cluster: str | None
) -> None:
    found = await lookup(env).find([env.project], cluster, REF.job_id)

    assert found.ref == REF
    assert found.job.can_be_cancelled


async def test_job_is_searched_in_all_projects(env: CoreEnvironment) -> None:
    projects = [another_project(env), env.project]

    assert (await lookup(env).find(projects, None, REF.job_id)).ref == REF


async def test_typed_cluster_that_is_not_that_of_the_job_is_refused(env: CoreEnvironment) -> None:
    env.atlas.empty_clusters = ["prod-us"]

    with pytest.raises(WrongCluster) as refused:
        await lookup(env).find([env.project], "prod-us", REF.job_id)
    assert refused.value.cluster == "prod-eu"


async def test_typed_cluster_that_differs_from_the_stored_one_is_refused_too(
    env: CoreEnvironment,
) -> None:
    await env.see()

    with pytest.raises(WrongCluster):
        await lookup(env).find_stored([env.project], "prod-us", REF.job_id)
    found = await lookup(env).find_stored([env.project], "PROD-EU", REF.job_id)
    assert found
    assert found.ref == REF


async def test_cluster_of_the_own_links_of_a_job_counts_before_the_typed_one(
    env: CoreEnvironment,
) -> None:
    env.atlas.jobs_now[REF] = {"cluster_name": "prod-us"}

    with pytest.raises(WrongCluster) as refused:
        await lookup(env).find([env.project], "prod-eu", REF.job_id)
    assert refused.value.cluster == "prod-us"


async def test_job_that_no_cluster_has_is_told_with_what_was_searched(env: CoreEnvironment) -> None:
    with pytest.raises(NotFoundInAtlas, match="No cluster of shop has a download with this job"):
        await lookup(env).find([env.project], None, job_id(number=9))


@pytest.mark.parametrize(
    ("error", "first"),
    [(JobNotFound, "No cluster of shop"), (ClusterNotFound, "prod-eu: There is no")],
)
async def test_job_that_its_typed_cluster_and_no_other_has_is_told_once(
    env: CoreEnvironment, error: type[AtlasRejected], first: str
) -> None:
    env.atlas.gets.append(error(status=404))

    with pytest.raises(NotFoundInAtlas) as refused:
        await lookup(env).find([env.project], "prod-eu", job_id(number=9))
    assert str(refused.value).startswith(first)
    assert str(refused.value).count("No cluster of shop has a download with this job id") == 1


async def test_job_has_what_the_bot_knows_of_it(env: CoreEnvironment) -> None:
    env.atlas.events = [restore_event("dana@shop.example")]
    asked = await env.ask()
    found = await lookup(env).find([env.project], "prod-eu", REF.job_id)

    assert found.open_request == asked
    assert found.download.starters.names == ("dana@shop.example",)


async def test_list_has_what_runs_newest_first_and_other_restores_apart(
    env: CoreEnvironment,
) -> None:
    second, automated, over = (job_ref(number=number) for number in (2, 3, 4))
    in_another = job_ref(number=5, cluster="prod-us")
    env.atlas.jobs_now |= {
        second: LINK,
        automated: {"deliveryType": "automated"},
        over: CANCELLED,
        in_another: {},
    }
    running = await lookup(env).running([env.project])

    assert [item.ref for item in running.downloads] == [in_another, second, REF]
    assert [item.ref for item in running.others] == [automated]
    assert list(running.clusters) == ["prod-eu", "prod-us"]
    assert not running.unread


async def test_list_of_one_cluster_has_no_other_one(env: CoreEnvironment) -> None:
    env.atlas.jobs_now[job_ref(number=5, cluster="prod-us")] = {}
    running = await lookup(env).running([env.project], "Prod-EU")

    assert [item.ref for item in running.downloads] == [REF]


@pytest.mark.parametrize(("broken", "cluster"), [("prod-us", "prod-us"), (CLUSTERS, None)])
async def test_list_says_what_could_not_be_read_beside_what_could(
    env: CoreEnvironment, broken: str, cluster: str | None
) -> None:
    other = another_project(env, job_ref(number=7, cluster="prod-us"), fault=broken)
    running = await lookup(env).running([env.project, other])
    (unread,) = running.unread

    assert [item.ref for item in running.downloads] == [REF]
    assert (unread.project, unread.cluster) == ("billing", cluster)


async def test_list_has_the_other_downloads_beside_one_that_cannot_be_read(
    env: CoreEnvironment,
) -> None:
    env.atlas.unread = ["5" * 24]
    running = await lookup(env).running([env.project])

    assert [item.ref for item in running.downloads] == [REF]
    (unread,) = running.unread
    assert (unread.cluster, unread.why) == ("prod-eu", "1 job could not be read")


async def test_list_says_that_a_cluster_could_not_be_read(env: CoreEnvironment) -> None:
    env.atlas.unread_clusters = ["5" * 24]
    running = await lookup(env).running([env.project])

    assert [item.ref for item in running.downloads] == [REF]
    (unread,) = running.unread
    assert (unread.cluster, unread.why) == (None, "1 cluster could not be read")


async def test_job_that_is_not_found_is_told_with_the_project_that_could_not_be_read(
    env: CoreEnvironment,
) -> None:
    other = another_project(env, REF, fault=CLUSTERS)
    with pytest.raises(NotFoundInAtlas) as refused:
        await lookup(env).find([env.project, other], None, job_id(number=9))

    assert "Not everything could be read: billing: " in str(refused.value)
    assert "shop" not in str(refused.value)


async def test_download_that_ended_since_the_list_was_read_is_left_out(
    env: CoreEnvironment,
) -> None:
    await env.see()
    env.atlas.jobs_now[REF] = CANCELLED
    env.clock.advance(1)
    await env.see()
    env.atlas.jobs_now[REF] = {}  # a list that is some seconds old

    assert not (await lookup(env).running([env.project])).downloads


async def test_atlas_is_shown_where_the_database_cannot_be_read(env: CoreEnvironment) -> None:
    without_tables = Database("sqlite:///:memory:")
    stores = (without_tables, env.clock, env.lease)
    unreadable = replace(
        lookup(env), downloads=DownloadStore(*stores), requests=RequestStore(*stores)
    )
    running = await unreadable.running([env.project])
    await without_tables.close()

    (found,) = running.downloads
    assert found.ref == REF
    assert isinstance(found.no_record, NotRead)


async def test_starter_is_not_known_where_the_feed_cannot_be_read(env: CoreEnvironment) -> None:
    env.atlas.faults[EVENTS] = Unavailable(status=503)
    found = await lookup(env).find([env.project], None, REF.job_id)

    assert found.download.starters.read_at is None
