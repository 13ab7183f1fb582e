"""What the watch has seen of a restore job, and what a look at a cluster changes (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bot.atlas import DeliveryType
from bot.cancellation.lifecycle import JobFingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from bot.atlas import JobRef, RestoreJob
    from bot.cancellation.lifecycle import Card, Request


class WatchedState(StrEnum):
    """Where a job stood at the last look: Atlas's states, and one that only a list can show."""

    IN_PROGRESS = "in_progress"  #: no link yet
    LINK_LIVE = "link_live"  #: whoever has the link can fetch the backup
    FINISHED = "finished"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"
    GONE = "gone"  #: Atlas lists the job, or its cluster, no more

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to cancel."""
        return self not in OPEN


#: The states in which an announcement has its button.
OPEN = frozenset({WatchedState.IN_PROGRESS, WatchedState.LINK_LIVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedJob:
    """A job that is to be announced, or announced anew, claimed for this process.

    Attributes:
        ref: the job.
        seen: where it stood at the last look.
        shown: its facts at the last look that had it.
        first_seen_at: when the watch first saw it; Atlas does not say when a job was started.
        changed_at: when it was seen to become what it is now.
        version: counts what was to be shown; 1 is the announcement itself.
        client_msg_id: the same for every try of the announcement.
        attempts: how often this has been tried since it last worked, this time included.
        message: where the announcement stands, or None while it is not posted.
        request: our newest request for the job, if there is one.
    """

    id: int
    ref: JobRef
    seen: WatchedState
    shown: JobFingerprint
    first_seen_at: datetime
    changed_at: datetime
    version: int
    client_msg_id: str
    attempts: int
    message: Card | None = None
    request: Request | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedJob:
    """What is on record of a job before a look."""

    seen: WatchedState
    announced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange:
    """One thing that a look changes.

    Attributes:
        is_new: whether the job is not on record yet.
        shown: its facts, or None where Atlas lists it no more.
        told: whether people are to be told.
    """

    job_id: str
    seen: WatchedState
    is_new: bool
    shown: JobFingerprint | None
    told: bool


def compare(
    jobs: Sequence[RestoreJob], known: Mapping[str, RecordedJob], *, first: bool
) -> list[JobChange]:
    """Compare what a cluster has now with what is on record of it, oldest job first.

    A job that is new and over already is told of too, for it may have come and gone while Atlas or
    the bot was away; but not at the `first` look, which would tell of all history.

    Args:
        jobs: every job of the cluster, newest first, as Atlas lists them.
        known: what is on record of the cluster, by job id.
        first: whether this is the first look at a cluster that was there before the watch.
    """
    downloads = [job for job in reversed(jobs) if job.delivery_type == DeliveryType.DOWNLOAD]
    found = [_finding(job, known.get(job.id), first=first) for job in downloads]
    return [*filter(None, found), *_gone(known, {job.id for job in downloads})]


def _finding(job: RestoreJob, before: RecordedJob | None, *, first: bool) -> JobChange | None:
    seen = WatchedState(job.state.value)
    if before and before.seen is seen:
        return None
    told = before.announced if before else not first
    return JobChange(
        job_id=job.id,
        seen=seen,
        is_new=before is None,
        shown=JobFingerprint.of(job),
        told=told or not seen.is_over,
    )


def _gone(known: Mapping[str, RecordedJob], listed: set[str]) -> Iterator[JobChange]:
    for job_id, before in known.items():
        if job_id not in listed and not before.seen.is_over:
            yield JobChange(
                job_id=job_id,
                seen=WatchedState.GONE,
                is_new=False,
                shown=None,
                told=before.announced,
            )
