"""Which audit events the reads of a download cause, each once."""

from dataclasses import replace
from typing import Any

import pytest

from bot.atlas import RestoreJob
from bot.cancellation.job import (
    LONGEST_READ,
    USUAL_WAIT,
    Job,
    Listing,
    compare,
    compare_restores,
)
from bot.cancellation.starter import StartedBy
from bot.storage.event_store import events_of
from tests.support.clock import NOON
from tests.support.domain import PROJECT_ID, a_job, job_ref

ONE = f"{1:024x}"
LINK: dict[str, Any] = {"deliveryUrl": ["https://x.invalid/y"], "expiresAt": "2026-11-25T14:00:00Z"}
USED: dict[str, Any] = {"expiresAt": "2026-11-25T14:00:00Z"}
SEEN, LIVE, ENDED = "download:seen", "download:link_live", "download:ended"

READS: dict[str, tuple[list[dict[str, Any] | None], list[str]]] = {
    "running": ([{}, {}], [SEEN]),
    "to the end": ([{}, LINK, LINK, USED, {"expired": True, **USED}], [SEEN, LIVE, ENDED]),
    "link without its time": ([{}, {"deliveryUrl": ["x"]}], [SEEN, LIVE]),
    "time without a link": ([{}, USED, LINK], [SEEN, LIVE]),
    "link between two reads": ([{}, {"expired": True, **USED}], [SEEN, LIVE, ENDED]),
    "began and ended unseen": ([{"cancelled": True}], [SEEN, ENDED]),
    "ended, an old read, ended": ([{}, {"failed": True}, {}, {"failed": True}], [SEEN, ENDED]),
    "not listed, and again": ([{}, None, {}, {"cancelled": True}], [SEEN, ENDED]),
}


def recorded(
    *changes: dict[str, Any] | None, started_by: StartedBy | None = None, **listing: Any
) -> list[dict[str, Any]]:
    """Return the events of the reads of one job; None: the list lacks it."""
    job, found = Job.new(job_ref(ONE), USUAL_WAIT, NOON), list[dict[str, Any]]()
    first, cancelled = listing.pop("first", False), listing.pop("was_cancelled", False)
    for number, each in enumerate(changes):
        now = NOON + (number + 1) * 2 * LONGEST_READ
        read: list[RestoreJob] = [] if each is None else [a_job(id=ONE, **each)]
        job = job.listed(
            Listing(
                jobs={each.id: each for each in read},
                now=now,
                read_at=now,
                first=first and number == 0,
                **listing,
            )
        ).observe(now, None, started_by)
        names = [str(event["event"]) for event in found]
        true = events_of(job, was_cancelled=cancelled) if job.version else ()
        found += [{"event": str(n), **detail} for n, detail in true if n not in names]
    return found


@pytest.mark.parametrize("case", READS)
def test_events_of_the_reads_of_a_new_download(case: str) -> None:
    reads, expected = READS[case]

    assert [each["event"] for each in recorded(*reads)] == expected


def test_download_that_ran_at_the_first_read_is_marked_and_its_end_recorded() -> None:
    seen, ended = recorded({}, {"cancelled": True}, first=True)

    assert (seen["before_watch"], ended["how"]) == (True, "cancelled")
    assert seen["started"] == "1970-01-01T00:00:00+00:00"


def test_download_that_was_known_before_its_cluster_was_watched_is_marked() -> None:
    listing = Listing(jobs={ONE: a_job(id=ONE)}, now=NOON, read_at=NOON)
    new = Job.new(job_ref(ONE), USUAL_WAIT, NOON)
    known = new.listed(replace(listing, is_watched=False))
    (job,) = compare(listing, {ONE: known})

    assert (known.version, job.version, job.was_running) == (0, 1, True)


@pytest.mark.parametrize("listing", [{"first": True}, {"is_watched": False}])
def test_history_and_clusters_that_are_not_watched_leave_nothing(listing: dict[str, Any]) -> None:
    assert recorded({"expired": True}, **listing) == []


@pytest.mark.parametrize(
    ("end", "was_cancelled", "how"),
    [
        ({"cancelled": True}, True, "cancelled"),
        ({"cancelled": True, "failed": True}, False, "failed"),
        ({"cancelled": True, "failed": True}, True, "cancelled"),
        ({"expired": True}, True, "expired"),
        ({"finishedAt": "2026-11-25T12:30:00Z"}, False, "finished"),
    ],
)
def test_how_a_download_ended(end: dict[str, Any], was_cancelled: bool, how: str) -> None:
    assert recorded({}, end, was_cancelled=was_cancelled)[-1]["how"] == how


OTHER = "f" * 24
RESTORE: dict[str, Any] = {
    "deliveryType": "automated",
    "targetGroupId": OTHER,
    "targetClusterName": "copy",
}


def listed_restores(changes: dict[str, Any], *, first: bool = False) -> list[Job]:
    """Return the restores into other projects that a read with one job lists."""
    listing = Listing(jobs={ONE: a_job(id=ONE, **changes)}, now=NOON, read_at=NOON, first=first)
    known = {ONE: Job.new(job_ref(ONE), USUAL_WAIT, NOON)}
    if changes["deliveryType"] != "download":
        assert compare(listing, known) == []  # neither announced nor quarantined as a download
    return compare_restores(listing, known)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"deliveryType": "pointInTime"},
        {"deliveryType": "a new kind"},
        {"finishedAt": "2026-11-25T11:00:00Z"},
        {"failed": True},
        {"targetClusterName": None},
    ],
)
def test_new_restore_into_another_project_is_announced_and_no_download(
    changes: dict[str, Any],
) -> None:
    (job,) = listed_restores(RESTORE | changes)

    assert (job.is_new_restore, job.version) == (True, 0)
    ((name, detail),) = events_of(job, was_cancelled=False)
    assert name == "restore:seen"
    assert detail == {
        "started": "1970-01-01T00:00:00+00:00",
        "type": changes.get("deliveryType", "automated"),
        "target_project": OTHER,
        "target_cluster": "?" if "targetClusterName" in changes else "copy",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"targetGroupId": PROJECT_ID},
        {"targetGroupId": PROJECT_ID.upper()},
        {"targetGroupId": None},
        {"targetGroupId": ""},
        {"deliveryType": "download"},
    ],
)
def test_restore_within_the_project_and_a_download_are_no_restore_into_another(
    changes: dict[str, Any],
) -> None:
    assert listed_restores(RESTORE | changes) == []


def test_restore_of_the_first_read_is_known_and_not_announced() -> None:
    (job,) = listed_restores(RESTORE, first=True)

    assert not job.is_new_restore
