"""The clock of a download link: when it is expected, live, and over (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Any

from bot.atlas import JobState

#: From the start of a job to its link, until enough of the project's own times are known.
USUAL_WAIT = timedelta(minutes=3)
#: How many own times are enough.
ENOUGH_WAITS = 5
#: A longer wait is none: its job's id does not begin with a time.
LONGEST_WAIT = timedelta(days=1)


class LinkPhase(StrEnum):
    """What the clock of a link shows."""

    EXPECTED = "expected"
    OVERDUE = "overdue"  #: the expected time has passed
    LIVE = "live"  #: anyone who has the link can copy the backup
    ENDED = "ended"  #: the job has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkClock:
    """What is known about one job's link: when it is expected, and since when it is live."""

    started_at: datetime
    expected_at: datetime
    live_since: datetime | None = None
    until: datetime | None = None  #: when the link expires
    ended: JobState | None = None  #: the state in which the job ended

    def phase(self, now: datetime) -> LinkPhase:
        """Return the phase at a time."""
        if self.ended or (self.until and self.until <= now):
            return LinkPhase.ENDED
        if self.live_since:
            return LinkPhase.LIVE
        return LinkPhase.OVERDUE if self.expected_at <= now else LinkPhase.EXPECTED

    def to_json(self) -> dict[str, str]:
        """Return what the audit log keeps of it, for `lead`."""
        times = {"link_expected": self.expected_at, "link_live_since": self.live_since}
        return {name: moment.isoformat() for name, moment in times.items() if moment}


@dataclass(frozen=True, slots=True)
class Lead:
    """How long before the link a cancellation came; negative for after it.

    `was_live`: the link counts from when it became live, else from when it was expected.
    """

    span: timedelta
    was_live: bool

    @classmethod
    def of(cls, detail: Mapping[str, Any], cancelled_at: datetime) -> "Lead | None":
        """Read the detail of an audit event, which `LinkClock.to_json` wrote."""
        moment = detail.get("link_live_since") or detail.get("link_expected")
        if not moment:
            return None
        span = datetime.fromisoformat(moment) - cancelled_at
        return cls(span, was_live="link_live_since" in detail)


def expected_wait(observed: Sequence[timedelta]) -> timedelta:
    """Return the time from start to link: the median of the project's own ones, if enough."""
    waits = [each.total_seconds() for each in observed if timedelta() <= each <= LONGEST_WAIT]
    return timedelta(seconds=median(waits)) if len(waits) >= ENOUGH_WAITS else USUAL_WAIT
