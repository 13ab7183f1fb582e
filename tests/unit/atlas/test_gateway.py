"""The gateway of a project: shared and reused reads, priorities, and the search for a job."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from bot.atlas import (
    InvalidName,
    JobNotFound,
    JobRef,
    NotLocated,
    NotOnAccessList,
    Priority,
    RestoreJob,
)
from bot.atlas.activity import RESTORE_REQUESTED
from bot.atlas.errors import RateLimited, TimedOut, Unavailable
from bot.atlas.shared_reads import KEPT_FOR
from tests.support.clock import NOON
from tests.unit.atlas.simulation import SimulatedProject
from tests.unit.atlas.strict_server import CLUSTER, JOB, PROJECT, REF, download_job, page, refusal

WATCH, PERSON, CANCEL = Priority.WATCH, Priority.PERSON, Priority.CANCEL


# Lists


async def test_project_name_is_read_once() -> None:
    project = SimulatedProject()
    names = [await project.result(project.gateway.project_name()) for _ in range(2)]

    assert (names, len(project.asked)) == (["shop", "shop"], 1)


async def test_clusters_are_sorted_and_unreadable_ones_counted() -> None:
    project = SimulatedProject()
    project.answers["/clusters"] = [page({"name": "b"}, {"name": "A"}, {"name": "no/name"})]
    clusters = await project.result(project.gateway.clusters(WATCH))

    assert (clusters, clusters.unread) == (["A", "b"], ("",))


async def test_read_says_when_it_was_sent_and_not_when_it_began_to_wait() -> None:
    project = SimulatedProject()
    await project.result(project.gateway.jobs(CLUSTER, WATCH))
    jobs = await project.result(project.gateway.jobs(CLUSTER, WATCH))

    assert [job.id for job in jobs] == [JOB]
    assert jobs.read_at is not None
    assert (jobs.read_at - NOON).total_seconds() == pytest.approx(0.11)


async def test_simultaneous_reads_share_one_call() -> None:
    project = SimulatedProject()
    watches = [asyncio.ensure_future(project.gateway.jobs(CLUSTER, WATCH)) for _ in range(2)]
    await project.settle()
    person = project.gateway.jobs(CLUSTER, PERSON)
    first, *others = await project.result(asyncio.gather(person, *watches))

    assert project.lists == 1
    assert others == [first, first]
    first.clear()  # an answer is the caller's own
    assert [len(jobs) for jobs in others] == [1, 1]


async def test_fresh_read_does_not_share_a_call_that_was_sent_long_before() -> None:
    project = SimulatedProject()
    project.seconds = 5.0
    early = asyncio.ensure_future(project.gateway.jobs(CLUSTER, WATCH))
    await project.advance(1.5)
    late = await project.result(project.gateway.jobs(CLUSTER, WATCH))

    assert (project.lists, late.read_at) == (2, NOON + timedelta(seconds=1.5))
    await early


@pytest.mark.parametrize(
    ("max_age", "after", "lists"),
    [(10.0, 9.0, 1), (10.0, 11.0, 2), (0.0, 0.0, 2), (600.0, KEPT_FOR - 1, 1)],
)
async def test_answer_is_reused_by_its_age_from_the_begin_of_its_call(
    max_age: float, after: float, lists: int
) -> None:
    project = SimulatedProject()
    await project.result(project.gateway.jobs(CLUSTER, WATCH))
    project.time.advance(after - project.time.elapsed if after else 0.0)
    jobs = await project.result(project.gateway.jobs(CLUSTER, PERSON, max_age=max_age))

    assert (project.lists, len(jobs)) == (lists, 1)


async def test_read_for_a_run_is_never_shared_or_reused() -> None:
    project = SimulatedProject()
    gateway = project.gateway
    reads = [gateway.jobs(CLUSTER, priority, max_age=60.0) for priority in (WATCH, CANCEL, CANCEL)]
    await project.result(asyncio.gather(*reads))
    await project.result(asyncio.gather(*(gateway.job(REF, PERSON) for _ in range(2))))

    assert project.lists == 3
    assert len(project.asked) == 5


@pytest.mark.parametrize("priority", [PERSON, Priority.FIRST_LOOK, WATCH])
async def test_urgent_read_does_not_wait_with_a_read_of_a_round_for_its_turn(
    priority: Priority,
) -> None:
    project = SimulatedProject()
    project.jobs |= {f"c{number}": [] for number in range(30)}
    rounds = [project.gateway.jobs(name, Priority.ROUND) for name in [*project.jobs][::-1]]
    waiting = asyncio.gather(*rounds)
    await project.settle()
    jobs = await project.result(project.gateway.jobs(CLUSTER, priority))

    assert project.time.elapsed < 0.5
    assert len(jobs) == 1
    await project.result(waiting)


async def test_round_waits_with_an_urgent_read_for_its_turn() -> None:
    project = SimulatedProject()
    reads = [project.gateway.jobs(name, WATCH) for name in ("another", CLUSTER)]
    urgent = asyncio.gather(*reads, return_exceptions=True)
    await project.settle()
    await project.result(project.gateway.jobs(CLUSTER, Priority.ROUND))
    await urgent

    assert project.lists == 2


async def test_failed_read_is_not_reused() -> None:
    project = SimulatedProject()
    project.answers["/restoreJobs"] = [httpx.Response(503)]
    with pytest.raises(Unavailable):
        await project.result(project.gateway.jobs(CLUSTER, WATCH))
    jobs = await project.result(project.gateway.jobs(CLUSTER, WATCH, max_age=60.0))

    assert len(jobs) == 1


@pytest.mark.parametrize(("priority", "tries"), [(PERSON, 3), (WATCH, 1), (CANCEL, 1)])
async def test_only_reads_for_a_person_are_tried_again(priority: Priority, tries: int) -> None:
    project = SimulatedProject()
    project.answers["/restoreJobs"] = [httpx.Response(503)] * 2
    outcome = project.result(project.gateway.jobs(CLUSTER, priority))
    (result,) = await asyncio.gather(outcome, return_exceptions=True)

    assert (project.lists, isinstance(result, Unavailable)) == (tries, tries == 1)


async def test_429_of_one_read_pauses_the_other_reads_of_the_watch() -> None:
    project = SimulatedProject()
    project.answers["/restoreJobs"] = [httpx.Response(429, headers={"Retry-After": "40"})]
    with pytest.raises(RateLimited):
        await project.result(project.gateway.jobs(CLUSTER, WATCH))
    await project.result(project.gateway.jobs(CLUSTER, PERSON))
    await project.result(project.gateway.job(REF, CANCEL))
    assert project.time.elapsed < 1.0
    await project.result(project.gateway.jobs(CLUSTER, WATCH))

    assert project.time.elapsed == pytest.approx(40.2)


async def test_person_is_answered_while_a_shared_read_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.atlas.shared_reads.PERSON_TIMEOUT", -1.0)  # of the real clock
    project = SimulatedProject()
    hanging = asyncio.ensure_future(project.gateway.jobs(CLUSTER, WATCH))
    await project.settle()
    with pytest.raises(TimedOut):
        await project.gateway.jobs(CLUSTER, PERSON)

    assert len(await project.result(hanging)) == 1


async def test_close_ends_the_reads_in_flight() -> None:
    project = SimulatedProject()
    reads = [asyncio.ensure_future(project.gateway.jobs(CLUSTER, p)) for p in (WATCH, CANCEL)]
    await project.settle()
    await project.gateway.close()
    await project.settle()

    assert [read.cancelled() for read in reads] == [True, True]


async def test_invalid_cluster_is_refused_before_anything_is_sent() -> None:
    project = SimulatedProject()
    with pytest.raises(InvalidName):
        await project.gateway.jobs("a/b", WATCH)

    assert project.asked == []


# The activity feed


def an_event(seconds: float) -> dict[str, object]:
    created = NOON + timedelta(seconds=seconds)
    return {
        "id": f"{int(seconds):024x}",
        "created": created.isoformat(),
        "eventTypeName": RESTORE_REQUESTED,
    }


async def test_feed_read_from_an_earlier_time_serves_a_later_one() -> None:
    project = SimulatedProject()
    gateway = project.gateway
    project.events = [an_event(30), an_event(10)]
    await project.result(gateway.restore_requests(NOON))
    later = NOON + timedelta(seconds=20)
    events = await project.result(gateway.restore_requests(later, PERSON, max_age=10.0))

    assert [event.created for event in events] == [NOON + timedelta(seconds=30)]
    assert (events.read_at, len(project.asked)) == (NOON, 1)


async def test_feed_read_from_a_later_time_does_not_serve_an_earlier_one() -> None:
    project = SimulatedProject()
    project.events = [an_event(30), an_event(10)]
    await project.result(project.gateway.restore_requests(NOON + timedelta(seconds=20)))
    events = await project.result(project.gateway.restore_requests(NOON, PERSON, max_age=10.0))

    assert (len(events), len(project.asked)) == (2, 2)


# The search for a job, and its cluster

OTHER_JOB = "6" * 24


def in_cluster(name: str, **changes: object) -> dict[str, object]:
    href = f"https://cloud.example/api/atlas/v2/groups/{PROJECT}/clusters/{name}"
    return download_job(links=[{"rel": "cluster", "href": href}], **changes)


async def test_job_is_located_in_the_cluster_that_its_link_names() -> None:
    project = SimulatedProject()
    project.jobs = {"a": [], "b": [in_cluster("b")], "c": [in_cluster("c", id=OTHER_JOB)]}
    found = await project.result(project.gateway.locate(JOB, PERSON))

    assert (found.ref, found.job.id) == (JobRef(PROJECT, "b", JOB), JOB)


async def test_job_that_answers_under_another_name_is_located_in_its_own_cluster() -> None:
    project = SimulatedProject()
    project.jobs = {"lax": [in_cluster("strict")]}
    found = await project.result(project.gateway.locate(JOB, PERSON))

    assert found.ref.cluster_name == "strict"


async def test_job_that_no_cluster_has_is_not_located() -> None:
    project = SimulatedProject()
    project.jobs = {f"c{number}": [] for number in range(25)}
    with pytest.raises(NotLocated, match="check its job id") as caught:
        await project.result(project.gateway.locate(JOB, PERSON))

    assert caught.value.unread == ()
    assert project.time.elapsed < 1.0  # side by side


async def test_search_without_a_hit_names_the_clusters_that_could_not_be_read() -> None:
    project = SimulatedProject()
    names = [{"name": name} for name in ("a", "b", "c", "no/name")]
    project.jobs = {"a": [], "b": []}
    project.answers = {
        "/clusters": [page(*names)],
        f"/b/backup/restoreJobs/{JOB}": [httpx.Response(503)] * 20,
    }
    with pytest.raises(NotLocated, match="not every cluster could be read: b, ") as caught:
        await project.result(project.gateway.locate(JOB, PERSON))

    assert caught.value.unread == ("b", "a cluster whose name could not be read")


async def test_search_ends_in_time_though_a_cluster_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.atlas.gateway.LOCATE_TIMEOUT", 0.2)  # of the real clock
    project = SimulatedProject()
    project.jobs = {"a": []}
    searching = asyncio.ensure_future(project.gateway.locate(JOB, PERSON))
    await project.advance(0.15)  # the list of clusters
    with pytest.raises(NotLocated) as caught:
        await searching

    assert caught.value.unread == ("a",)


async def test_search_ends_with_an_error_of_the_whole_project() -> None:
    project = SimulatedProject()
    project.answers[f"/restoreJobs/{JOB}"] = [refusal(403, "IP_ADDRESS_NOT_ON_ACCESS_LIST")]
    with pytest.raises(NotOnAccessList):
        await project.result(project.gateway.locate(JOB, PERSON))


@pytest.mark.parametrize(
    ("linked", "cluster"),
    [("strict", "strict"), (None, CLUSTER)],
    ids=["its link", "the list that has it"],
)
async def test_cluster_of_a_job_is_what_atlas_says(linked: str | None, cluster: str) -> None:
    project = SimulatedProject()
    job = RestoreJob(id=JOB, delivery_type="download", cluster_name=linked)

    assert await project.result(project.gateway.cluster_of(REF, job, CANCEL)) == cluster


async def test_cluster_whose_list_does_not_have_the_job_is_not_its_cluster() -> None:
    project = SimulatedProject()
    job = RestoreJob(id=OTHER_JOB, delivery_type="download")
    with pytest.raises(JobNotFound):
        await project.result(project.gateway.cluster_of(REF, job, CANCEL))
