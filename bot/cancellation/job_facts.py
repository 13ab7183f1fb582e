"""What is known about a restore job beyond one read: its starter, the clock of its link (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Any

from bot.atlas import LINK_LIFETIME, JobRef, JobState, RestoreJob
from bot.cancellation.starter import NOT_READ, StartedBy

#: From the start of a job to its link, until enough of the project's own times are known.
USUAL_WAIT = timedelta(minutes=3)
#: How many own times are enough.
ENOUGH_WAITS = 5
#: Longer waits are discarded: such a job's id does not begin with the time of its start.
LONGEST_WAIT = timedelta(days=1)


class LinkPhase(StrEnum):
    """What the clock of a link shows."""

    EXPECTED = "expected"
    OVERDUE = "overdue"  #: the expected time has passed
    LIVE = "live"  #: the link gives the backup, once
    USED = "used"  #: the link was used or withdrawn
    ENDED = "ended"  #: the job has ended


_LINK_PHASES = {JobState.LINK_LIVE: LinkPhase.LIVE, JobState.LINK_USED: LinkPhase.USED}


@dataclass(frozen=True, slots=True)
class Lead:
    """How long before the link a cancellation came; negative for after it."""

    span: timedelta
    was_live: bool  #: the link counts from when it became live, else from when it was expected

    @classmethod
    def of(cls, detail: Mapping[str, Any], cancelled_at: datetime) -> "Lead | None":
        """Read the detail of an audit event, which `JobFacts.link_times` wrote."""
        moment = detail.get("link_live_since") or detail.get("link_expected")
        if not moment:
            return None
        span = datetime.fromisoformat(moment) - cancelled_at
        return cls(span, was_live="link_live_since" in detail)


def expected_wait(observed: Sequence[timedelta]) -> timedelta:
    """Return the time from start to link: the median of the project's own ones, if enough."""
    waits = [each.total_seconds() for each in observed if timedelta() <= each <= LONGEST_WAIT]
    return timedelta(seconds=median(waits)) if len(waits) >= ENOUGH_WAITS else USUAL_WAIT


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job's starter and the clock of its link: when it is expected, and since when it is live.

    `live_since` and `until` stay when the link is used.
    """

    started_at: datetime
    expected_at: datetime
    live_since: datetime | None = None
    until: datetime | None = None  #: when the link expires
    ended: JobState | None = None  #: the state in which the job ended
    phase: LinkPhase = LinkPhase.EXPECTED  #: which cards and announcements show
    started_by: StartedBy = NOT_READ

    @classmethod
    def new(cls, ref: JobRef, wait: timedelta, now: datetime) -> "JobFacts":
        """Return the facts of a job of which only the id is known."""
        return cls(started_at=ref.started_at, expected_at=ref.started_at + wait).at(now)

    def with_link(self, expires_at: datetime | None, state: JobState | None = None) -> "JobFacts":
        """Add a read of the job, its `state` if it is the newest; a known time stays known."""
        since = expires_at - LINK_LIFETIME if expires_at else self.live_since
        facts = replace(self, live_since=since, until=expires_at or self.until)
        if state is None:
            return facts
        phase = _LINK_PHASES.get(state, self.phase)
        return replace(facts, phase=phase, ended=state if state.is_over else None)

    def add(self, job: RestoreJob | None = None, started_by: StartedBy | None = None) -> "JobFacts":
        """Add what was read; a starter only if more is known about it than before."""
        facts = self
        if started_by and started_by.supersedes(self.started_by):
            facts = replace(self, started_by=started_by)
        if job is None:
            return facts
        return facts.with_link(job.link_expires_at, job.state)

    def at(self, now: datetime) -> "JobFacts":
        """Return the facts with the phase of this time."""
        phase = LinkPhase.OVERDUE if self.expected_at <= now else LinkPhase.EXPECTED
        if self.ended:
            phase = LinkPhase.ENDED
        elif self.phase is LinkPhase.USED:
            phase = LinkPhase.USED
        elif self.until and self.until <= now:
            phase = LinkPhase.ENDED
        elif self.live_since:
            phase = LinkPhase.LIVE
        return replace(self, phase=phase)

    def link_times(self) -> dict[str, str]:
        """Return what the audit log keeps of the link, for `Lead`."""
        times = {"link_expected": self.expected_at, "link_live_since": self.live_since}
        return {name: moment.isoformat() for name, moment in times.items() if moment}

    def audit_detail(self) -> dict[str, Any]:
        """Return the starter and the start, for audit events."""
        starter = self.started_by.starter
        return {
            "started_at": self.started_at.isoformat(),
            "by": starter.name if starter else None,
            "starter": self.started_by.to_json(),
        }
