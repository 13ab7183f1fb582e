"""The configured projects, each with its policy and client, and the rate-limit budget of one."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from bot.atlas import AtlasClient
from bot.cancellation.errors import KeyMayNotCancel, NotAllowed, RateLimitReserved
from bot.cancellation.policy import Policy, may_cancel


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One Atlas project: its name, its policy, the client with its key, where it is announced.

    Equal by its id: the rest may change while someone holds it.

    Attributes:
        key_may_cancel: whether the key has a role that may cancel; None while that is not known.
    """

    id: str
    name: str = field(compare=False)
    policy: Policy = field(compare=False)
    atlas: AtlasClient = field(repr=False, compare=False)
    watch_channel: str | None = field(default=None, compare=False)
    key_may_cancel: bool | None = field(default=None, compare=False)

    @property
    def why_read_only(self) -> NotAllowed | None:
        """Return why no cancellation is offered here, or None; only the policy forbids one."""
        lacks_role = self.key_may_cancel is False
        return may_cancel(self.policy) or (KeyMayNotCancel() if lacks_role else None)


class Projects:
    """Every project by id and by name."""

    def __init__(self, projects: Iterable[Project]) -> None:
        self._by_id = {project.id: project for project in projects}

    @property
    def all(self) -> tuple[Project, ...]:
        return tuple(self._by_id.values())

    @property
    def only(self) -> Project | None:
        """The project, if only one is configured: commands need not name it."""
        return self.all[0] if len(self.all) == 1 else None

    def find(self, name_or_id: str) -> Project | None:
        """Find a project by its name, in any case, or by its id."""
        named = {project.name.casefold(): project for project in self.all}
        return self._by_id.get(name_or_id.lower()) or named.get(name_or_id.casefold())

    def update(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace fields of projects, by their ids, all at once."""
        self._by_id = {p.id: replace(p, **changes.get(p.id, {})) for p in self.all}

    def rename(self, project_id: str, name: str) -> None:
        """Change the name of a project to the one that Atlas has."""
        self._by_id[project_id] = replace(self._by_id[project_id], name=name)


#: The documented token bucket of a project's backup calls: its size, and its refill (500 a
#: minute). Atlas may change both; the headers of its answers override them.
BUCKET_SIZE = 1200
REFILL_PER_SECOND = 500 / 60

#: The fraction of the bucket that searches leave.
RESERVE = 1 / 5

#: Calls on top of the reserve that others (a cancellation, another replica) may have in flight.
MARGIN = 16

#: Seconds without calls after which one call may check whether the bucket has refilled.
PROBE_INTERVAL = 10.0


class RateLimitBudget:
    """Tracks one project's token bucket by the headers of Atlas's answers.

    Args:
        size: the documented size of the bucket.
        refill: its documented refill, in tokens a second.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        size: int = BUCKET_SIZE,
        refill: float = REFILL_PER_SECOND,
    ) -> None:
        self._monotonic = monotonic
        self._limit = size
        self._refill = refill
        self._remaining = float(size)
        self._updated_at = monotonic()
        self._in_flight = 0
        self._has_headers = False

    def update(self, remaining: int | None, limit: int | None = None) -> None:
        """Record an answer's headers; without them (API v1.0) the call counts as one token."""
        if remaining is None:
            self._estimate_refill()
            self._remaining -= 1
            return
        self._has_headers = True
        self._limit = limit or self._limit
        self._remaining, self._updated_at = float(remaining), self._monotonic()

    @contextmanager
    def call(self, *, reserve: float = RESERVE) -> Iterator[None]:
        """Make one call within the budget.

        Args:
            reserve: the fraction of the bucket that this kind of call must leave.

        Raises:
            RateLimitReserved: only the reserve is left.
        """
        if not self._may_call(reserve):
            raise RateLimitReserved
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def _may_call(self, reserve: float) -> bool:
        self._estimate_refill()
        if self._remaining - self._in_flight > self._limit * reserve + MARGIN:
            return True
        # Atlas's refill was seen to come in jumps, so a single call checks from time to time.
        if self._in_flight or self._monotonic() - self._updated_at < PROBE_INTERVAL:
            return False
        self._updated_at = self._monotonic()
        return True

    def _estimate_refill(self) -> None:
        """Without headers, assume the documented refill."""
        if self._has_headers:
            return
        now = self._monotonic()
        refill = (now - self._updated_at) * self._refill
        self._remaining = min(self._limit, self._remaining + refill)
        self._updated_at = now
