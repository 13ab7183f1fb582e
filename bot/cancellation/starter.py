"""Who may have started a download, by the project's activity feed (pure).

Events about restores name neither job nor cluster. The time joins them: Atlas creates the id of a
job and its event within seconds.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from bot.atlas import ActivityEvent, created_at

TOLERANCE = timedelta(seconds=5)  #: the longest time between a job and its event
#: How long after its start a download's events are read again: Atlas may show them late.
READ_AGAIN_FOR = timedelta(seconds=60)
#: From here on the feed counts as having the event: the recorded delays are at most 16 s.
FEED_DELAY = timedelta(seconds=20)
#: What Atlas names nobody in: its own staff, and an event without an actor.
MONGODB_STAFF = "MongoDB staff"
UNNAMED = "an unnamed account"
_APPLICATION = " for "  #: between an application and the user for whom it acts


@dataclass(frozen=True, slots=True, kw_only=True)
class Starters:
    """What the activity feed shows about the start of one download."""

    #: When the last read of the feed that could be used began; None: the feed was never readable.
    read_at: datetime | None = None
    names: tuple[str, ...] = ()  #: the possible starters, sorted

    def covers(self, started_at: datetime) -> bool:
        """Whether the feed was read late enough to have the event of this start."""
        return self.read_at is not None and self.read_at >= started_at + FEED_DELAY

    def merged(self, later: "Starters") -> Self:
        """Return these starters with a later read; the feed never loses an event."""
        names = tuple(sorted({*self.names, *later.names}))
        read_at = max(filter(None, (self.read_at, later.read_at)), default=None)
        return type(self)(read_at=read_at, names=names)

    def may_include(self, email: str | None) -> bool:
        """Whether a person with this e-mail address may have started the download."""
        return email is not None and any(is_named(email, name) for name in self.names)


NO_STARTERS = Starters()


def is_named(user: str, starter: str) -> bool:
    """Whether a starter's name is that of a user, or of an application that acts for the user."""
    user, starter = user.casefold(), starter.casefold()
    return starter == user or starter.endswith(f"{_APPLICATION}{user}")


def starters_of(
    job_id: str,
    events: Sequence[ActivityEvent],
    *,
    read_at: datetime,
    other_jobs: Collection[str] = (),
) -> Starters:
    """Return who may have started a job, by the restore requests of its project.

    An event counts where it is within `TOLERANCE` of the job's start. An event that fits another
    job too is left out where this job has an event of its own, and where there are not more events
    near these other jobs than jobs: else one of those events may be of this job.
    """
    near = [event for event in events if _fits(job_id, event)]
    own = [event for event in near if not any(_fits(job, event) for job in other_jobs)]
    others = [job for job in other_jobs if any(_fits(job, event) for event in near)]
    theirs = [event for event in events if any(_fits(job, event) for job in others)]
    counted = own if own and len(theirs) <= len(others) else near
    names = {_name(event) for event in counted}
    return Starters(read_at=read_at, names=tuple(sorted(names)))


def _fits(job_id: str, event: ActivityEvent) -> bool:
    return abs(event.created - created_at(job_id)) <= TOLERANCE


def _name(event: ActivityEvent) -> str:
    """Return the name by which people know the actor of an event."""
    application = event.delegate_principal
    if event.is_global_admin:
        return MONGODB_STAFF
    if application is not None:
        # Never its name alone, which may be that of a person or a key.
        return f"{application.name or application.id}{_APPLICATION}{event.for_user or UNNAMED}"
    names = (event.client_id, event.username, event.user_id, event.public_key, event.api_key_id)
    return next(filter(None, names), UNNAMED)
