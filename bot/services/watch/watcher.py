"""Looks at a project's clusters in turn, so that every new download restore is noticed."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import structlog

from bot.atlas import (
    AtlasError,
    ClusterNotFound,
    KeyRefused,
    NotOnAccessList,
    ProjectNotFound,
    RateLimited,
    RoleMissing,
    WrongClusterKind,
)
from bot.cancellation.errors import CancellationError, LedgerError
from bot.services.watch.poll_schedule import PollSchedule, rest, retry_pause
from bot.tasks import cancel_and_wait
from bot.timings import DEFAULT_TIMINGS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from bot.atlas import Cluster, RestoreJob
    from bot.cancellation.watched_job import JobChange
    from bot.timings import Timings

#: Seconds until the next check of what is due, at least.
SHORTEST_PAUSE = 0.005

#: Looks at one project that are under way at once: a cluster that hangs holds up no other.
AT_ONCE = 8

#: The part of a project's rate limit that the watch leaves to people and their cancels.
KEEP = 0.5

#: What says that the whole project cannot be read, whichever cluster was asked for.
OF_THE_PROJECT = (KeyRefused, RoleMissing, NotOnAccessList, ProjectNotFound)

#: Seconds that letting go of the lease may take at the end.
FAREWELL = 0.5

log = structlog.get_logger(__name__)


class WatchedAtlas(Protocol):
    """What the watch asks of the Administration API; `AtlasClient` is the real one."""

    async def clusters(self, project_id: str) -> Sequence[Cluster]:
        """Read the project's clusters."""

    async def restore_jobs(
        self, project_id: str, cluster_name: str, *, max_attempts: int
    ) -> Sequence[RestoreJob]:
        """Read every job of a cluster, newest first."""


class Share(Protocol):
    """Says whether the rate limit has room for one more call; `Bucket` is the real one."""

    def call(self, *, keep: float) -> AbstractContextManager[None]:
        """Make one call; raises `CancellationError` when no more than `keep` of it is left."""


class Notes(Protocol):
    """What the watch writes down; `Sightings` is the real one, and each raises `LedgerError`."""

    async def hold(self, project_id: str) -> bool: ...

    async def release(self, project_id: str) -> None: ...

    async def adopt(self, project_id: str, clusters: Collection[str]) -> Sequence[str] | None: ...

    async def note(
        self, project_id: str, cluster: str, jobs: Sequence[RestoreJob]
    ) -> Sequence[JobChange] | None: ...


class Watcher:
    """The watch over one project, as one replica keeps it.

    Args:
        project_id: 24 hex digits.
        atlas: reads the project.
        share: the gauge of the project's rate limit.
        notes: where it is written down.
        interval: seconds between two looks at a cluster.
        timings: the other intervals and pauses of the watch.
        on_change: called when there is something to announce.
        monotonic: seconds that never jump.
        sleep: waits seconds.
        jitter: a number from 0 to 1, by chance.
    """

    def __init__(
        self,
        project_id: str,
        atlas: WatchedAtlas,
        share: Share,
        notes: Notes,
        *,
        interval: float,
        timings: Timings = DEFAULT_TIMINGS,
        on_change: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._project_id = project_id
        self._atlas = atlas
        self._share = share
        self._notes = notes
        self._interval = interval
        self._timings = timings
        self._on_change = on_change
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter
        self._under_way: set[asyncio.Task[None]] = set()
        self._renew_at = self._rest_until = monotonic()
        self._refusals = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Forget what was learned under an earlier lease: another replica may have gone on."""
        self._rota = PollSchedule(self._interval)
        self._list_at = self._monotonic()
        self._clusters: frozenset[str] | None = None
        self._written: dict[str, frozenset[tuple[str, str]]] = {}
        self._failures: Counter[str] = Counter()

    async def run(self) -> None:
        """Watch until cancelled, then let another replica go on at once."""
        try:
            while True:
                await self._sleep(await self._step())
        finally:
            await self._end()

    async def _step(self) -> float:
        """Do what is due; return the seconds until something may be due again."""
        try:
            return await self._turn()
        except LedgerError as error:
            log.warning("watch waits for the ledger", project=self._project_id, why=str(error))
        except Exception:
            log.exception("watch stumbled", project=self._project_id)
        return self._timings.watch_lease_renewal_interval

    async def _turn(self) -> float:
        now = self._monotonic()
        if now >= self._renew_at and not await self._hold(now):
            return self._timings.watch_lease_renewal_interval
        if now < self._rest_until:
            return min(self._rest_until - now, self._timings.watch_lease_renewal_interval)
        if now >= self._list_at:
            self._list_at = now + max(self._interval, self._timings.cluster_list_max_age)
            self._start(self._list_clusters())
        if len(self._under_way) >= AT_ONCE:
            return self._timings.watch_read_interval
        if name := self._rota.take(now):
            self._start(self._look(name))
            return self._timings.watch_read_interval
        soonest = min(self._rota.next_due, self._list_at, self._renew_at)
        return min(max(soonest - now, SHORTEST_PAUSE), self._timings.watch_idle_interval)

    async def _hold(self, now: float) -> bool:
        if await self._notes.hold(self._project_id):
            self._renew_at = now + self._timings.watch_lease_renewal_interval
            return True
        await self._stop_looking()
        return False

    async def _stop_looking(self) -> None:
        await cancel_and_wait(*self._under_way)
        self._renew_at = self._monotonic()
        self._begin_anew()

    async def _end(self) -> None:
        await self._stop_looking()
        try:
            async with asyncio.timeout(FAREWELL):
                await self._notes.release(self._project_id)
        except (TimeoutError, LedgerError) as error:
            # It runs out by itself.
            log.info("lease of the watch not released", project=self._project_id, why=str(error))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"watch {self._project_id}")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _list_clusters(self) -> None:
        """Learn which clusters there are now; the ones known before stay until that is known."""
        try:
            clusters = {each.name for each in await self._atlas.clusters(self._project_id)}
            await self._adopt(frozenset(clusters))
        except (AtlasError, CancellationError) as error:
            self._list_at = self._monotonic() + self._after_failure("", error)
        except Exception:
            log.exception("watch cannot list clusters", project=self._project_id)

    async def _adopt(self, clusters: frozenset[str]) -> None:
        if clusters != self._clusters:
            gone = await self._notes.adopt(self._project_id, clusters)
            if gone is None:
                self._renew_at = self._monotonic()
                return
            for name in gone:
                await self._write_down(name, [])
            self._clusters = clusters
        self._failures.pop("", None)
        self._rota.spread(clusters, self._monotonic())

    async def _look(self, name: str) -> None:
        """Look at one cluster, once; whatever goes wrong, it is looked at again."""
        retry_in = None
        try:
            await self._write_down(name, await self._jobs_of(name))
        except (AtlasError, CancellationError) as error:
            retry_in = self._after_failure(name, error)
        except Exception:
            log.exception("look broke off", project=self._project_id, cluster=name)
        else:
            self._worked(name)
        self._rota.put_back(name, self._monotonic(), retry_in)

    async def _jobs_of(self, name: str) -> Sequence[RestoreJob]:
        with self._share.call(keep=KEEP):
            try:
                return await self._atlas.restore_jobs(self._project_id, name, max_attempts=1)
            except (ClusterNotFound, WrongClusterKind):
                return []  # deleted meanwhile, or a kind of cluster that has no such jobs

    async def _write_down(self, name: str, jobs: Sequence[RestoreJob]) -> None:
        """Compare with the record, unless the last look has written down just the same."""
        states = frozenset((job.id, str(job.state)) for job in jobs)
        if self._written.get(name) == states:
            return
        findings = await self._notes.note(self._project_id, name, jobs)
        if findings is None:
            self._renew_at = self._monotonic()  # the project is not ours any more
            return
        self._written[name] = states
        for each in findings:
            place = {"project": self._project_id, "cluster": name}
            log.info("restore job seen", **place, job=each.job_id, state=str(each.seen))
        if findings:
            self._on_change()

    def _worked(self, name: str) -> None:
        self._refusals = 0
        if self._failures.pop(name, 0):
            log.info("watch reads the cluster again", project=self._project_id, cluster=name)

    def _after_failure(self, name: str, error: Exception) -> float:
        """Return the seconds until it is tried again; let the whole project rest if that helps."""
        place = {"project": self._project_id, "cluster": name or None}
        self._failures[name] += 1
        say = log.warning if self._failures[name] == 1 else log.info
        say("watch cannot look", **place, why=str(error), times=self._failures[name])
        if seconds := self._rest_after(error):
            self._rest_until = max(self._rest_until, self._monotonic() + seconds)
            return 0.0  # first to be looked at when the rest is over
        return retry_pause(self._interval, self._failures[name])

    def _rest_after(self, error: Exception) -> float:
        if isinstance(error, RateLimited):
            # Several looks that meet the same empty bucket are one refusal.
            self._refusals += self._monotonic() >= self._rest_until
            return rest(max(self._refusals, 1), error.retry_after, self._jitter())
        if isinstance(error, LedgerError):
            return 0.0
        if isinstance(error, CancellationError):
            return self._timings.rate_limit_pause
        return self._timings.key_refused_pause if isinstance(error, OF_THE_PROJECT) else 0.0
