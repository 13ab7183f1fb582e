"""Restore jobs that the watch knows, and how a new list of jobs changes them (pure)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bot.atlas import DeliveryType, JobRef, RestoreJob
from bot.cancellation.job_facts import JobFacts
from bot.cancellation.lifecycle import Card, JobFingerprint, Request


class WatchedState(StrEnum):
    """A job's state when it was last read: Atlas's states, and `GONE`."""

    IN_PROGRESS = "in_progress"  #: no link yet
    LINK_LIVE = "link_live"  #: the backup can be downloaded by the link
    LINK_USED = "link_used"  #: the link was used or withdrawn
    FINISHED = "finished"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"
    GONE = "gone"  #: Atlas no longer lists the job or its cluster

    @property
    def is_over(self) -> bool:
        """Whether the job can no longer be cancelled."""
        return self not in OPEN


_HAD_LINK = frozenset({WatchedState.LINK_LIVE, WatchedState.LINK_USED})
#: The states in which an announcement has its button.
OPEN = _HAD_LINK | {WatchedState.IN_PROGRESS}


class QuarantineDecision(StrEnum):
    """What became of a new download in quarantine."""

    CARD = "card"  #: it is quarantined, and the request's card is its announcement
    BEYOND_LIMIT = "beyond_limit"  #: it is only announced


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedJob:
    """A job with what its announcement shows."""

    id: int
    ref: JobRef
    state: WatchedState
    shown: JobFingerprint  #: the job's facts when Atlas last listed it
    first_seen_at: datetime  #: when the watch first read it
    changed_at: datetime  #: when `state` was first read
    was_running: bool = False  #: whether it was there already when the watch first read its cluster
    beyond_limit: bool = False  #: whether it is not quarantined because of the limit
    message: Card | None = None  #: the place of the announcement, or None while it is not posted
    request: Request | None = None  #: the newest request for the job, if there is one
    facts: JobFacts | None = None  #: its starter and the clock of its link


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange:
    """A difference between the database and Atlas."""

    job_id: str
    state: WatchedState
    is_new: bool  #: whether the database has no row for the job yet
    shown: JobFingerprint | None  #: the job's facts, or None if Atlas no longer lists it
    announce: bool  #: whether the change is announced


def compare(
    jobs: Sequence[RestoreJob],
    known: Mapping[str, tuple[WatchedState, bool]],
    *,
    first: bool,
    unread: Collection[str] = (),
) -> list[JobChange]:
    """Compare a cluster's jobs with the database, oldest job first.

    `known` has the recorded state of each job, and whether it was announced.

    A new job that is over already is announced too: it may have started and ended while Atlas or
    the bot was down. The `first` read of a cluster that existed before the watch announces no such
    jobs, because they are history. Jobs that could not be read, by their ids in `unread`, are not
    gone; where an id is not known, it is empty.
    """
    downloads = [job for job in reversed(jobs) if job.delivery_type == DeliveryType.DOWNLOAD]
    changes = [_change(job, known.get(job.id), first=first) for job in downloads]
    listed = {*known} if "" in unread else {*unread, *(job.id for job in downloads)}
    return [*filter(None, changes), *_gone(known, listed)]


def _change(
    job: RestoreJob, before: tuple[WatchedState, bool] | None, *, first: bool
) -> JobChange | None:
    state = WatchedState(job.state.value)
    recorded, announce = before or (None, not first)
    if state is WatchedState.IN_PROGRESS and recorded in _HAD_LINK:
        state = WatchedState.LINK_USED  # an earlier read showed the link, this one no trace of it
    if recorded is state:
        return None
    return JobChange(
        job_id=job.id,
        state=state,
        is_new=before is None,
        shown=JobFingerprint.of(job),
        announce=announce or not state.is_over,
    )


def _gone(known: Mapping[str, tuple[WatchedState, bool]], listed: set[str]) -> Iterator[JobChange]:
    for job_id, (state, announced) in known.items():
        if job_id not in listed and not state.is_over:
            yield JobChange(
                job_id=job_id, state=WatchedState.GONE, is_new=False, shown=None, announce=announced
            )
