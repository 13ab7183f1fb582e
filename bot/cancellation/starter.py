"""Who started a restore job: joins the job with the events of the activity feed (pure).

Events about restores name neither job nor cluster. What joins them is the time: Atlas creates the
job's id and its event within two seconds. An event that fits several jobs proves nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from bot.atlas import ActivityEvent, created_at

TOLERANCE = timedelta(seconds=2)  #: the longest time between a job and its event
#: How old a job is when its event, if there is one, must be visible: at most 16 s were recorded.
FEED_DELAY = timedelta(seconds=60)
#: How old a job is when its starter stays as it is: the feed was read with each event by then.
SETTLED_AFTER = 2 * FEED_DELAY
#: How old an event is when each job that may have it is listed; both times are whole seconds.
LISTED_AFTER = TOLERANCE + timedelta(seconds=1)
#: Jobs and events further away from a job are ignored.
REACH = timedelta(seconds=30)
APPLICATION_SEPARATOR = " for "  #: between an application and the user for whom it acts


class StarterKind(StrEnum):
    USER = "user"
    API_KEY = "api_key"
    SERVICE_ACCOUNT = "service_account"
    OAUTH_APP = "oauth_app"
    MONGODB_STAFF = "mongodb_staff"
    UNNAMED = "unnamed"  #: the event has no name


_Actor: TypeAlias = tuple[StarterKind, str]  #: kind and name


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    kind: StarterKind
    name: str = ""  #: a user name, a public key, a client id, or an application
    own_key: bool = False  #: whether it is the key that the bot uses
    #: Whether no one else may have started the job: each job that may share an event of this one
    #: is known and has an event, and one actor has them all.
    certain: bool = True
    others: tuple[str, ...] = ()  #: the names of further candidates


class StarterStatus(StrEnum):
    """What is known about the starter of a job, in ascending order."""

    TOO_EARLY = "too_early"  #: the feed has no event yet, which may be late
    NOT_KNOWN = "not_known"  #: the feed could not be read
    NOT_IN_FEED = "not_in_feed"  #: the feed has no event of the job
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class StartedBy:
    """The starter, or why there is none."""

    knowledge: StarterStatus = StarterStatus.NOT_KNOWN  #: its name is a key of audit events
    starter: Starter | None = None

    @property
    def is_certain(self) -> bool:
        return self.starter is not None and self.starter.certain

    def supersedes(self, other: "StartedBy") -> bool:
        """Whether this is worth keeping instead of `other`."""
        own, others = map([*StarterStatus].index, (self.knowledge, other.knowledge))
        return own > others or (own == others and self != other)


NOT_READ = StartedBy(StarterStatus.TOO_EARLY)  #: before the first read of the feed


def started_by(
    job_id: str,
    events: Sequence[ActivityEvent],
    *,
    read_at: datetime,
    own_key: str,
    other_jobs: Collection[str] = (),
    all_read_at: datetime | None = None,
) -> StartedBy:
    """Return who started a job, by the requests of restores in the project's activity feed.

    The feed was read at `read_at`. `own_key` is the public key or client id of the bot, and
    `other_jobs` has the ids of the project's other jobs. All clusters were read at `all_read_at`
    of Atlas's clock or later; None where no one watches them: then these jobs count as all.
    """
    start = created_at(job_id)
    nearby = [event for event in events if abs(event.created - start) <= REACH]
    nearby.sort(key=lambda event: (abs(event.created - start), event.id))
    actors = [*dict.fromkeys(_actor(event) for event in nearby if _fits(job_id, event))]
    if not actors:
        is_early = read_at - start < FEED_DELAY
        return StartedBy(StarterStatus.TOO_EARLY if is_early else StarterStatus.NOT_IN_FEED)
    (kind, name), *others = actors
    jobs, shared = _sharing(job_id, other_jobs, nearby)
    listed_at = max(event.created for event in shared) + LISTED_AFTER
    is_one = len({_actor(event) for event in shared}) == 1 and _suffice(shared, jobs)
    starter = Starter(
        kind=kind,
        name=name,
        own_key=bool(name) and name == own_key,
        certain=is_one and (all_read_at or listed_at) >= listed_at,
        others=tuple(sorted(name for _, name in others)),
    )
    return StartedBy(StarterStatus.KNOWN, starter)


def _fits(job_id: str, event: ActivityEvent) -> bool:
    return abs(event.created - created_at(job_id)) <= TOLERANCE


def _sharing(
    job_id: str, others: Collection[str], events: Sequence[ActivityEvent]
) -> tuple[set[str], list[ActivityEvent]]:
    """Return the jobs that share events with a job, directly or through others, and the events."""
    times = {job: created_at(job) for job in (job_id, *others)}
    jobs = {job_id}
    while True:  # both fill one span of time: neighbours are at most twice the tolerance apart
        first, last = (of(times[job] for job in jobs) for of in (min, max))
        shared = [each for each in events if first - TOLERANCE <= each.created <= last + TOLERANCE]
        first, last = (of(each.created for each in shared) for of in (min, max))
        more = {job for job, at in times.items() if first - TOLERANCE <= at <= last + TOLERANCE}
        if more == jobs:
            return jobs, shared
        jobs = more


def _suffice(events: Sequence[ActivityEvent], jobs: Collection[str]) -> bool:
    """Whether each job can have an event of its own; otherwise one is not in the feed yet."""
    left = sorted(events, key=lambda event: event.created)
    for job in sorted(jobs):  # ids begin with the time
        own = next((event for event in left if _fits(job, event)), None)
        if own is None:
            return False
        left.remove(own)
    return True


def _actor(event: ActivityEvent) -> _Actor:
    application, user = event.delegate_principal, event.username or event.user_id
    acting = (application.name or application.id) if application else ""
    acting_for = f"{acting}{APPLICATION_SEPARATOR}{event.for_user}" if event.for_user else acting
    key = event.public_key or event.api_key_id
    actors = (
        (event.is_global_admin, StarterKind.MONGODB_STAFF, user),
        (application is not None, StarterKind.OAUTH_APP, acting_for),
        (bool(event.client_id), StarterKind.SERVICE_ACCOUNT, event.client_id),
        (bool(user), StarterKind.USER, user),
        (bool(key), StarterKind.API_KEY, key),
        (True, StarterKind.UNNAMED, ""),
    )
    return next((kind, name) for applies, kind, name in actors if applies)


def is_named(user_name: str, starter_name: str) -> bool:
    """Whether a starter's name is that of a user, or of an application that acts for the user."""
    user, starter = user_name.casefold(), starter_name.casefold()
    return starter == user or starter.endswith(f"{APPLICATION_SEPARATOR}{user}")


def is_candidate(started_by: StartedBy, user_name: str | None) -> bool:
    """Whether the Atlas user `user_name` may have started a job."""
    if (starter := started_by.starter) is None or not user_name:
        return False
    return any(is_named(user_name, each) for each in (starter.name, *starter.others))
