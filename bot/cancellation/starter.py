"""Who started a restore job: joins the job with the events of the activity feed (pure).

Events about restores name neither job nor cluster. What joins them is the time: Atlas creates the
job's id and its event within two seconds, mostly in one process, with ids that follow each other.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from bot.atlas import ActivityEvent, created_at

TOLERANCE = timedelta(seconds=2)  #: the longest time between a job and its event
#: An event that is further away, up to this, is only probably the job's.
WIDE_TOLERANCE = timedelta(seconds=30)
#: How old a job is when its event, if there is one, must be visible: at most 16 s were recorded.
FEED_DELAY = timedelta(seconds=60)
USUAL_FEED_DELAY = timedelta(seconds=20)  #: its age when its event usually is visible
#: How long after an event a read of all clusters lists each job that can have it: the tolerance,
#: the second to which times are cut, and a margin for Atlas.
LISTED_AFTER = TOLERANCE + timedelta(seconds=3)
APPLICATION_SEPARATOR = " for "  #: between an application and the user for whom it acts
#: The part of an id that is the same for ids of one process, and where its counter begins.
_PROCESS = slice(8, 18)
_COUNTER = 18
_COUNTERS = 2**24
_MAX_DISTANCE = 1000  #: of two counters that count as one after the other
_Events: TypeAlias = Sequence[ActivityEvent]
#: The ids of the jobs near each event, by the event's id.
_JobsByEvent: TypeAlias = Mapping[str, frozenset[str]]


class StarterKind(StrEnum):
    """What a starter is in Atlas."""

    USER = "user"
    API_KEY = "api_key"
    SERVICE_ACCOUNT = "service_account"
    OAUTH_APP = "oauth_app"
    MONGODB_STAFF = "mongodb_staff"
    UNNAMED = "unnamed"  #: the event has no name


_Actor: TypeAlias = tuple[StarterKind, str]  #: kind and name


@dataclass(frozen=True, slots=True, kw_only=True)
class Starter:
    """Who started a job."""

    kind: StarterKind
    name: str = ""  #: a user name, a public key, a client id, or an application
    own_key: bool = False  #: whether it is the key that the bot uses
    certain: bool = True  #: whether no other event fits the job, and the event fits no other job
    others: tuple[str, ...] = ()  #: the names of further candidates
    complete: bool = True  #: whether the candidates suffice for all jobs that they fit


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
    #: Whether the feed was read when it had all events and the watch all jobs; no message shows it.
    final: bool = field(default=False, compare=False)
    #: Whether the watch had read all jobs that can have the event; no message shows it.
    jobs_known: bool = field(default=False, compare=False)

    @property
    def is_settled(self) -> bool:
        """Whether later events and jobs cannot change the starter."""
        return self.final and self.starter is not None and self.starter.certain

    def supersedes(self, other: "StartedBy") -> bool:
        """Whether this is worth keeping instead of `other`."""
        order = [*StarterStatus]
        own, others = ((order.index(e.knowledge), e.is_settled) for e in (self, other))
        differs = self != other or self.jobs_known != other.jobs_known
        return own > others or (own == others and differs)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "StartedBy":
        """Convert back from `to_json`."""
        return _ADAPTER.validate_python(values)


_ADAPTER = TypeAdapter(StartedBy)
NOT_READ = StartedBy(StarterStatus.TOO_EARLY)  #: before the first read of the feed


def started_by(
    job_id: str,
    events: _Events,
    *,
    age: timedelta,
    own_key: str,
    other_jobs: Collection[str] = (),
    all_read_at: datetime | None = None,
) -> StartedBy:
    """Return who started a job, by the requests of restores in the project's activity feed.

    The job's `age` is that at which the feed was read. `own_key` is the public key or client id of
    the bot, and `other_jobs` has the ids of all jobs of the project that are known. All clusters
    were read at `all_read_at` or later; None if that is not known.
    """
    nearby = {*other_jobs} - {job_id}
    jobs_by_event = _jobs_by_event({*nearby, job_id}, events)
    candidates = _candidates(job_id, events, jobs_by_event)
    if not candidates:
        return StartedBy(StarterStatus.TOO_EARLY if age < FEED_DELAY else StarterStatus.NOT_IN_FEED)
    first, *further = candidates
    others = _other_actors(job_id, first, further)
    is_near = job_id in jobs_by_event[first.id]
    # An event that is near a job is no candidate of jobs further away.
    others_near = jobs_by_event[first.id] - {job_id}
    is_shared = any(_candidates(job, events, jobs_by_event)[0] == first for job in others_near)
    certain = is_near and not others and not is_shared
    follows = is_near and _follows_closest(job_id, first, nearby)
    complete = certain or follows or _has_event_for_each_job(events, job_id, jobs_by_event)
    starter = _starter(first, others, own_key, certain=certain, complete=complete)
    # Of two events for two jobs, both may be the other job's while the own one is still missing.
    events_known = not others_near or follows or age >= USUAL_FEED_DELAY
    jobs_known = events_known and _all_are_listed(candidates, all_read_at)
    return StartedBy(StarterStatus.KNOWN, starter, final=age >= FEED_DELAY, jobs_known=jobs_known)


def _other_actors(job_id: str, first: ActivityEvent, further: _Events) -> set[_Actor]:
    """Return who else may have started the job, by the further candidates."""
    actors = {_actor(event) for event in further if _fits_as_well(job_id, first, event)}
    return actors - {_actor(first)}


def _starter(
    event: ActivityEvent, others: set[_Actor], own_key: str, *, certain: bool, complete: bool
) -> Starter:
    kind, name = _actor(event)
    return Starter(
        kind=kind,
        name=name,
        own_key=bool(name) and name == own_key,
        certain=certain,
        others=tuple(sorted(name for _, name in others)),
        complete=complete,
    )


def _all_are_listed(candidates: _Events, all_read_at: datetime | None) -> bool:
    """Whether the clusters were read late enough to list each job that can have the events."""
    last = max(event.created for event in candidates)
    return all_read_at is not None and last + LISTED_AFTER <= all_read_at


def _jobs_by_event(jobs: Collection[str], events: _Events) -> _JobsByEvent:
    """Return the jobs that were created within the tolerance of each event, by its id."""
    by_time = sorted((created_at(job), job) for job in jobs)
    times = [created for created, _ in by_time]
    found = {}
    for event in events:
        first = bisect_left(times, event.created - TOLERANCE)
        last = bisect_right(times, event.created + TOLERANCE)
        found[event.id] = frozenset(job for _, job in by_time[first:last])
    return found


def _candidates(job_id: str, events: _Events, jobs_by_event: _JobsByEvent) -> list[ActivityEvent]:
    """Return the events that may be the job's, best first.

    An event that is near another job and not near this one is the other's.
    """
    found = [
        event
        for event in events
        if job_id in jobs_by_event[event.id]
        or (not jobs_by_event[event.id] and _distance_in_time(job_id, event) <= WIDE_TOLERANCE)
    ]
    return sorted(found, key=lambda event: _order(job_id, event))


def _order(job_id: str, event: ActivityEvent) -> tuple[bool, bool, int, timedelta, str]:
    apart = _distance_in_time(job_id, event)
    distance = _distance_of_ids(job_id, event)
    by_ids = distance if distance is not None else _COUNTERS
    return (apart > TOLERANCE, distance is None, by_ids, apart, event.id)


def _distance_in_time(job_id: str, event: ActivityEvent) -> timedelta:
    return abs(event.created - created_at(job_id))


def _distance_of_ids(job_id: str, event: ActivityEvent) -> int | None:
    """Return how much later the event's id was created, if by the process of the job's id."""
    if event.id[_PROCESS] != job_id[_PROCESS]:
        return None
    distance = (int(event.id[_COUNTER:], 16) - int(job_id[_COUNTER:], 16)) % _COUNTERS
    return distance if distance <= _MAX_DISTANCE else None


def _fits_as_well(job_id: str, first: ActivityEvent, event: ActivityEvent) -> bool:
    """Whether neither the time nor the ids put `first` before `event`."""
    return _order(job_id, first)[:2] == _order(job_id, event)[:2] and (
        _distance_of_ids(job_id, first) is None
    )


def _follows_closest(job_id: str, event: ActivityEvent, nearby: Collection[str]) -> bool:
    """Whether one process created both ids, and no nearby job's id is closer to the event's."""
    own, *others = (_distance_of_ids(job, event) for job in (job_id, *nearby))
    return own is not None and all(other is None or own < other for other in others)


def _has_event_for_each_job(events: _Events, job_id: str, jobs_by_event: _JobsByEvent) -> bool:
    """Whether each job can get an event of its own; otherwise the job's may still be missing.

    Jobs without an event near them are ignored.
    """
    left = sorted(events, key=lambda event: event.created)
    for job in sorted({job_id}.union(*jobs_by_event.values())):
        own = next((event for event in left if job in jobs_by_event[event.id]), None)
        if own is None:
            return False
        left.remove(own)
    return True


def _actor(event: ActivityEvent) -> _Actor:
    """Return who acted."""
    application, user = event.delegate_principal, event.username or event.user_id
    acting = (application.name or application.id) if application else ""
    acting_for = f"{acting}{APPLICATION_SEPARATOR}{event.username}" if event.username else acting
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
