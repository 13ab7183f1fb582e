"""A restore job: its state, its starter and the clock of its link, by what was read (pure)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Any

from bot.atlas import LINK_LIFETIME, DeliveryType, JobRef, JobState, RestoreJob
from bot.cancellation.lifecycle import Card, Ending, JobFingerprint, Request, State
from bot.cancellation.starter import NOT_READ, SETTLED_AFTER, StartedBy

#: From the start of a job to its link, until enough of the project's own times are known.
USUAL_WAIT = timedelta(minutes=3)
#: How many own times are enough.
ENOUGH_WAITS = 5
#: Longer waits are discarded: such a job's id does not begin with the time of its start.
LONGEST_WAIT = timedelta(days=1)
#: More than a read of a job takes, where it is not known when the read began.
LONGEST_READ = timedelta(seconds=30)
#: Between two reads of a running bot; in more a link may come, be used and vanish.
LONGEST_UNSEEN = timedelta(seconds=20)
#: A read that is less later than the recorded one, and shows the same, is not recorded.
READ_STEP = timedelta(seconds=5)
#: The states of an open job in their order; a job that is over comes after them.
_OPEN = (JobState.IN_PROGRESS, JobState.LINK_LIVE, JobState.LINK_USED)
#: The states in which a job ended; of one that Atlas does not list any more it is not known.
ENDS = frozenset(state for state in JobState if state.is_over) - {JobState.GONE}
ENDED = "Nothing was sent: the download had ended before. {state}"
SENT_BEFORE = (
    "The bot had asked Atlas to cancel it before, and an answer was lost: that may still end the"
    " download."
)
REFUSED_BEFORE = "The bot had asked Atlas to cancel it before, but Atlas did not."
NO_COPY = "It had no link, so no copy comes of it."
ENDED_SINCE = "The download has ended, after this request had asked Atlas to cancel it. {state}"


class LinkPhase(StrEnum):
    """What the clock of a link shows."""

    EXPECTED = "expected"
    OVERDUE = "overdue"  #: the expected time has passed
    LIVE = "live"  #: the link gives the backup, once
    USED = "used"  #: the link was used or withdrawn
    ENDED = "ended"  #: the job has ended


#: The phases before the link.
TO_COME = frozenset({LinkPhase.EXPECTED, LinkPhase.OVERDUE})


class QuarantineDecision(StrEnum):
    """What became of a new download in quarantine."""

    CARD = "card"  #: it is quarantined, and the request's card is its announcement
    BEYOND_LIMIT = "beyond_limit"  #: it is only announced


class StarterAnswer(StrEnum):
    """What the person said whom Atlas names as the starter."""

    MINE = "mine"
    NOT_MINE = "not_mine"


def expected_wait(observed: Sequence[timedelta]) -> timedelta:
    """Return the time from start to link: the median of the project's own ones, if enough."""
    waits = [each.total_seconds() for each in observed if timedelta() <= each <= LONGEST_WAIT]
    return timedelta(seconds=median(waits)) if len(waits) >= ENOUGH_WAITS else USUAL_WAIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is recorded of a restore job; what is not recorded follows from its id.

    `live_since` and `until` stay when the link is used.
    """

    ref: JobRef
    first_seen_at: datetime  #: when the watch first listed it, or it was first read
    changed_at: datetime  #: when `state` was first read
    expected_at: datetime  #: when its link is expected
    state: JobState = JobState.IN_PROGRESS  #: when it was last read
    live_since: datetime | None = None
    until: datetime | None = None  #: when the link expires
    #: Whether it was cancelled or has failed, and may have had its link while nothing read it.
    link_unknown: bool = False
    phase: LinkPhase = LinkPhase.EXPECTED  #: which cards and announcements show
    started_by: StartedBy = NOT_READ
    version: int = 0  #: counts the announced changes; 0 before it is announced
    id: int | None = None  #: None before it is recorded
    #: When the last read began that had the running job; None: not known.
    read_at: datetime | None = field(default=None, compare=False)
    shown: JobFingerprint | None = None  #: as the watch first listed it; None before
    quarantine: QuarantineDecision | None = None
    was_running: bool = False  #: whether it was there already when the watch first read its cluster
    #: The Slack user who was asked whether it is theirs; empty before, and None for a job that was
    #: known before the bot could ask.
    asked: str | None = ""
    answer: StarterAnswer | None = None  #: what that person said first
    announcement: Card | None = None  #: where the announcement is, once it is posted
    request: Request | None = None  #: for an announcement: the newest request for the job

    @classmethod
    def new(cls, ref: JobRef, wait: timedelta, now: datetime) -> "Job":
        """Return a job of which only the id is known."""
        expected_at = ref.started_at + wait
        return cls(ref=ref, first_seen_at=now, changed_at=now, expected_at=expected_at).at(now)

    @property
    def ended(self) -> JobState | None:
        """The state in which it ended; None for a job that Atlas does not list any more."""
        return self.state if self.state in ENDS else None

    @property
    def has_failed_without_link(self) -> bool:
        """Whether it failed, and its reads are sure that it had no link."""
        return self.state is JobState.FAILED and not (self.live_since or self.link_unknown)

    @property
    def is_new_restore(self) -> bool:
        """Whether it is announced as a restore into another project: the watch lists no others."""
        is_restore = self.shown and self.shown.delivery_type != DeliveryType.DOWNLOAD
        return bool(is_restore) and not self.was_running

    def has_settled_starter(self, now: datetime) -> bool:
        """Whether its starter is certain, and no later event changes that."""
        return self.started_by.is_certain and now >= self.first_seen_at + SETTLED_AFTER

    def at(self, now: datetime) -> "Job":
        """Return the job with the phase of this time."""
        phase = LinkPhase.OVERDUE if self.expected_at <= now else LinkPhase.EXPECTED
        if self.ended:
            phase = LinkPhase.ENDED
        elif self.state is JobState.LINK_USED:
            phase = LinkPhase.USED
        elif self.until and self.until <= now:
            phase = LinkPhase.ENDED
        elif self.live_since:
            phase = LinkPhase.LIVE
        return replace(self, phase=phase)

    def with_link(self, shown: JobFingerprint, now: datetime) -> "Job":
        """Add since when the link is live, if it exists or existed; a known time stays known.

        Without the time at which it expires, that is when it was first read. A link that is there
        after that time has no known end: Atlas is late, or the clock of this machine is ahead.
        """
        if not shown.link_existed:
            return self
        since = self.live_since or now
        if shown.expires_at:
            since = shown.expires_at - LINK_LIFETIME
        until = shown.expires_at or self.until
        is_late = shown.link_is_live and until and until <= now
        return replace(self, live_since=since, until=None if is_late else until)

    def has_passed(self, now: datetime) -> bool:
        """Whether the link was to expire by now, and no read shows that it did."""
        return self.state is JobState.LINK_LIVE and self.until is not None and self.until <= now

    def observe(
        self,
        now: datetime,
        read: RestoreJob | None = None,
        started_by: StartedBy | None = None,
        *,
        read_at: datetime | None = None,
    ) -> "Job":
        """Add a read that began at `read_at`, and a starter if more is known about it by now.

        An earlier state is ignored if a read that began later may have shown the recorded one, and
        fewer candidates, as the feed keeps its events.
        """
        job = self
        is_later = started_by and _candidates(started_by) >= _candidates(self.started_by)
        if started_by and is_later and started_by.supersedes(self.started_by):
            job = replace(job, started_by=started_by)
        if read:
            read_at = read_at or now - LONGEST_READ
            state = self._state_after(read.state, is_late=read_at < self.changed_at)
            job = job.with_link(JobFingerprint.of(read), now).entering(state, now)
            # An expired job had a link; `finishedAt` is the time of any end, also of this one.
            is_unseen = self.read_at is None or abs(now - self.read_at) > LONGEST_UNSEEN
            if read.finished_at:  # by Atlas's clock, as the start: it ended as soon as it began
                lived = read.finished_at - self.ref.started_at
                is_unseen &= not timedelta() <= lived <= LONGEST_UNSEEN
            may_have_had_link = read.expired or (is_unseen and self.state not in ENDS)
            if (read.cancelled or read.failed) and may_have_had_link and not job.live_since:
                job = replace(job, link_unknown=True)
            is_due = self.read_at is None or abs(read_at - self.read_at) >= READ_STEP
            if is_due and not read.is_over:
                job = replace(job, read_at=read_at)
        return job.at(now)

    def entering(self, state: JobState, now: datetime) -> "Job":
        return self if state is self.state else replace(self, state=state, changed_at=now)

    def _state_after(self, read: JobState, *, is_late: bool) -> JobState:
        if self.state is JobState.GONE:
            return read
        if is_late and _order(read) < _order(self.state):
            return self.state
        if read is JobState.IN_PROGRESS and self.state in _OPEN[1:]:
            return JobState.LINK_USED  # an earlier read showed the link, this one no trace of it
        return read

    def listed(self, listing: "Listing", quarantine: QuarantineDecision | None = None) -> "Job":
        """Add a read of the cluster's jobs, which may lack this one; see `compare`."""
        read, now = listing.jobs.get(self.ref.job_id), listing.now
        if read is None:
            return self.entering(JobState.GONE, now)
        before = self if self.id else replace(self, read_at=listing.lacked_at)
        job = before.observe(now, read, read_at=listing.read_at)
        is_history = listing.first or self.was_running or self.shown is not None
        is_new = listing.is_watched and not (job.state.is_over and is_history)
        announce = self.version > 0 or (is_new and is_download(read))
        job = replace(job, version=max(job.version, int(announce)))
        is_known = self.shown is not None
        if is_known and job.version == self.version:
            return job
        return replace(
            job,
            shown=JobFingerprint.of(read),
            first_seen_at=now,
            was_running=listing.first or self.was_running or is_known,
            quarantine=quarantine,
        )

    def unread_at_first(self) -> "Job":
        """Mark a job that the first read of its cluster could not read: it is not new later."""
        return self if self.shown else replace(self, was_running=True)

    def link_times(self) -> dict[str, Any]:
        """Return what the audit log keeps of the link."""
        times = {"link_expected": self.expected_at, "link_live_since": self.live_since}
        known = {name: moment.isoformat() for name, moment in times.items() if moment}
        return known | ({"link_unknown": True} if self.link_unknown else {})

    def audit_detail(self) -> dict[str, Any]:
        """Return the starter and the start, for audit events."""
        starter = self.started_by.starter
        return {
            "started_at": self.ref.started_at.isoformat(),
            "by": starter.name if starter else None,
            "starter": asdict(self.started_by),
        }


def end_of_wait(request: Request, job: Job) -> Ending:
    """Return the end of a request that waits in vain: its download has ended, or its time is over.

    A DELETE of an earlier run may have ended the download.
    """
    return end_of_job(request, job.ended) if job.ended else Ending(State.EXPIRED)


def what_was_sent(request: Request) -> str:
    """Say it of a request that does not run any more."""
    before = SENT_BEFORE if request.sent.may_have_taken_effect else REFUSED_BEFORE
    return before if request.sent.count else "Nothing was sent."


def may_end_late(request: Request) -> bool:
    """Whether its download was let go on, but a DELETE whose answer was lost may end it."""
    return request.state in {State.KEPT, State.OBSERVED} and request.sent.may_have_taken_effect


def end_of_job(request: Request, state: JobState) -> Ending:
    sentence = ENDED_SINCE if request.sent.count else ENDED
    return Ending.explained(State.OVER, sentence.format(state=state.sentence))


def _candidates(started_by: StartedBy) -> int:
    return 1 + len(started_by.starter.others) if started_by.starter else 0


def _order(state: JobState) -> int:
    return _OPEN.index(state) if state in _OPEN else len(_OPEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The jobs of a cluster, as the watch read them."""

    jobs: Mapping[str, RestoreJob]  #: by their ids, newest first
    now: datetime
    read_at: datetime  #: when the read began
    #: When the complete read before it began, which lacked the new jobs; None: not known.
    lacked_at: datetime | None = None
    first: bool = False  #: whether it is the first one of a cluster that existed before the watch
    unread: Collection[str] = ()  #: the ids of jobs that could not be read; "" for one without id
    is_watched: bool = True  #: whether new downloads of the cluster are announced or on record


def compare(listing: Listing, known: Mapping[str, Job]) -> list[Job]:
    """Return the downloads of a cluster that are new or have another state, oldest first.

    `known` has the recorded jobs and the new ones, by their ids. Downloads that run when the
    cluster becomes watched are among them.

    A new job that is over already is announced too: it may have started and ended while Atlas or
    the bot was down. The first read of a cluster announces no such jobs, because they are history.
    Jobs that could not be read are not gone.
    """
    downloads = [each for each, read in listing.jobs.items() if is_download(read)]
    present = {*known} if "" in listing.unread else {*listing.unread, *listing.jobs}
    gone = [
        job_id
        for job_id, job in known.items()
        if job_id not in present and job.shown and not job.state.is_over
    ]
    return _changed(listing, known, [*downloads[::-1], *gone])


def compare_restores(listing: Listing, known: Mapping[str, Job]) -> list[Job]:
    """Return the restores into another project that are new or have another state, oldest first.

    The first read of a cluster for them announces none: neither those that run nor history.
    """
    elsewhere = [each for each, read in listing.jobs.items() if leaves(known[each].ref, read)]
    return _changed(listing, known, elsewhere[::-1])


def _changed(listing: Listing, known: Mapping[str, Job], job_ids: Collection[str]) -> list[Job]:
    pairs = [(known[each], known[each].listed(listing)) for each in job_ids]
    return [
        after
        for job, after in pairs
        if job.shown is None or job.state is not after.state or job.version != after.version
    ]


def leaves(ref: JobRef, read: RestoreJob) -> bool:
    """Whether it restores into another project than its own; not if Atlas names no project."""
    target = (read.target_project_id or ref.project_id).lower()
    return not is_download(read) and target != ref.project_id


def is_download(read: RestoreJob) -> bool:
    return read.delivery_type == DeliveryType.DOWNLOAD
