"""What is known about a restore job beyond what one read of it says (pure)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from bot.atlas import LINK_LIFETIME, JobRef, JobState, RestoreJob
from bot.cancellation.link_clock import LinkClock, LinkPhase
from bot.cancellation.starter import NOT_READ, StartedBy


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """A job's starter and the clock of its link."""

    clock: LinkClock
    phase: LinkPhase = LinkPhase.EXPECTED  #: which cards and announcements show
    started_by: StartedBy = NOT_READ
    feed_link: str | None = None  #: the job's events in Atlas's web interface

    @classmethod
    def new(cls, ref: JobRef, wait: timedelta, now: datetime) -> "JobFacts":
        """Return the facts of a job of which only the id is known."""
        clock = LinkClock(started_at=ref.started_at, expected_at=ref.started_at + wait)
        return cls(clock=clock, phase=clock.phase(now))

    def with_link(self, expires_at: datetime | None, ended: JobState | None) -> "JobFacts":
        """Add what a read of the job says; a time that is known stays known."""
        clock = self.clock
        since = expires_at - LINK_LIFETIME if expires_at else clock.live_since
        until = expires_at or clock.until
        return replace(self, clock=replace(clock, live_since=since, until=until, ended=ended))

    def with_job(self, job: RestoreJob) -> "JobFacts":
        """Add a read of the job."""
        expires_at = job.expires_at if job.link_is_live else None
        return self.with_link(expires_at, job.state if job.is_over else None)

    def with_starter(self, started_by: StartedBy) -> "JobFacts":
        """Add a read of the activity feed, if it says more than is known."""
        better = started_by.is_better_than(self.started_by)
        return replace(self, started_by=started_by) if better else self

    def with_feed_link(self, link: str | None) -> "JobFacts":
        """Add the address of the job's events."""
        return replace(self, feed_link=link) if link else self

    def at(self, now: datetime) -> "JobFacts":
        """Return the facts with the phase of this time."""
        return replace(self, phase=self.clock.phase(now))

    @property
    def needs_event(self) -> bool:
        """Whether a request that waits gets an event about the link or the end of the job."""
        return self.phase in {LinkPhase.LIVE, LinkPhase.ENDED}

    def audit_detail(self) -> dict[str, Any]:
        """Return the starter and the start, for audit events."""
        starter = self.started_by.starter
        return {
            "started_at": self.clock.started_at.isoformat(),
            "by": starter.name if starter else None,
            "starter": self.started_by.to_json(),
        }
