"""Bots in this process, in simulated time: the real loops over SQLite, and fake services."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from bot.atlas import AtlasClock, JobRef, RestoreJob, TimedOut, Unavailable, created_at
from bot.cancellation.errors import CancellationError, MaybeRecorded, NotRead, NotRecorded
from bot.cancellation.lifecycle import Request
from bot.cancellation.policy import Policies
from bot.cancellation.posts import Post, PostKind, RequestPost
from bot.leader_loops import quarantine_at
from bot.services.jobs import ActivityFeeds, Feed, Jobs
from bot.services.leader import Leader
from bot.services.projects import Project, Projects
from bot.services.quarantine import READ_TIMEOUT, Quarantine
from bot.services.rights import RightsCheck
from bot.services.runner import Runner
from bot.services.service import CancellationService
from bot.services.sweeper import sweep
from bot.storage.database import Database, DatabaseClock
from bot.storage.job_store import JobStore
from bot.storage.lease_store import LeaseStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.quarantine_store import QuarantineStore
from bot.storage.replicas import LeaderLease
from bot.storage.request_store import RequestStore
from bot.storage.watch_store import WatchStore
from bot.tasks import Loop, repeat
from bot.timings import Timings
from tests.support.domain import PROJECT_ID, resolve_members
from tests.support.fake_atlas import FakeAtlas, canceller_of
from tests.tools.campaign.quarantine.services import CHANNEL, CLUSTER, Services

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sqlalchemy import Connection

    from bot.atlas import ActivityEvent
    from tests.support.clock import SimulatedTime

T = TypeVar("T")


#: Real seconds for one transaction: on a busy machine the database must not count as unavailable.
DATABASE_TIMEOUT = 60.0
#: The same for a read of the activity feed, without which an expected starter is not known.
FEED_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class BotTime:
    """The time of one bot: no two bots act in one millisecond, which ids of messages have."""

    time: SimulatedTime
    number: int

    def __call__(self) -> datetime:
        return self.time() + timedelta(milliseconds=self.number)

    def monotonic(self) -> float:
        return self.time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self.time.sleep(seconds)


class BotDatabase(Database):
    """The connection of one bot, which a kill cuts."""

    def __init__(self, services: Services) -> None:
        super().__init__(services.url, timeout=DATABASE_TIMEOUT)
        self._services = services
        self.is_cut = False

    async def read(self, work: Callable[[Connection], T], **options: Any) -> T:
        if self.is_cut or not self._services.database_is_up:
            raise NotRead
        self._services.transactions += 1
        try:
            return await super().read(work, **options)
        finally:
            self._services.transactions -= 1

    async def write(self, work: Callable[[Connection], T], **options: Any) -> T:
        if self.is_cut or not self._services.database_is_up:
            raise NotRecorded
        self._services.transactions += 1
        try:
            result = await super().write(work, **options)
        finally:
            self._services.transactions -= 1
        if self._services.occurs("database: answer to a commit lost", 0.002):
            raise MaybeRecorded
        return result


class BotAtlas(FakeAtlas):
    """The client of one bot, which may die in any of its calls."""

    def __init__(self, services: Services, kill: Callable[[], None]) -> None:
        super().__init__()
        self._services = services
        self._kill = kill

    async def restore_jobs(self, project_id: str, cluster_name: str, **options: Any) -> Any:
        self._interfere()
        self.jobs = {CLUSTER: self._services.jobs}
        return await super().restore_jobs(project_id, cluster_name)

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        if timeout and timeout <= READ_TIMEOUT:  # a longer read is repeated until it succeeds
            self._interfere()
        return self._services.job(ref.job_id)

    async def events(self, project_id: str, since: datetime) -> list[ActivityEvent]:
        if not self._services.feed_is_up:
            raise Unavailable(status=503)
        return [event for at, event in self._services.feed if at <= self._services.time.elapsed]

    async def cancel_restore_job(self, ref: JobRef) -> int:
        services = self._services
        self._interfere()
        await self._die("bot: killed right before the DELETE")
        if services.occurs("Atlas: DELETE lost on its way", 0.05):
            raise TimedOut(may_have_taken_effect=True)
        services.delete(ref.job_id)
        await self._die("bot: killed right after the DELETE")
        if services.occurs("Atlas: answer to the DELETE lost", 0.1):
            raise TimedOut(may_have_taken_effect=True)
        return 204

    def _interfere(self) -> None:
        if self._services.occurs("Atlas: 503", 0.01):
            raise Unavailable(status=503)

    async def _die(self, fault: str) -> None:
        if self._services.occurs(fault, 0.05):
            self._kill()
            await asyncio.sleep(0)  # raises CancelledError


class BotFeeds(ActivityFeeds):
    """The activity feeds as one bot reads them: immediately, or not at all."""

    async def read_since(
        self, project_id: str, start: datetime | None, *, timeout: float = 0.0, max_age: float
    ) -> Feed | None:
        return await super().read_since(project_id, start, timeout=FEED_TIMEOUT, max_age=max_age)


class SimulatedBot:
    """The loops of one process over one database."""

    def __init__(self, services: Services, number: int) -> None:
        self.services = services
        self.name = f"bot-{number}"
        self.database = BotDatabase(services)
        self._atlas = BotAtlas(services, self.kill)
        self._time = time = BotTime(services.time, number)
        self._projects = projects = self._build_projects()
        self.requests = RequestStore(self.database, time)
        self._leases = LeaseStore(self.database, time, self.name)
        lease = LeaderLease(self.database, time, self.name, Timings.leader_lease)
        clock = DatabaseClock(self.database, wall=time, monotonic=time.monotonic)
        self.leader = Leader(lease, clock, sleep=time.sleep)
        self._fence = fence = lease.check_held
        self._quarantined = QuarantineStore(
            self.database, time, partial(quarantine_at, projects), fence=fence
        )
        self._watch = WatchStore(self.database, time, self.name, self._quarantined, fence=fence)
        self._outbox = OutboxStore(self.database, time, fence=fence)
        self._jobs = Jobs(
            projects,
            JobStore(self.database, time),
            BotFeeds(projects, time, monotonic=time.monotonic),
        )
        self._rights = RightsCheck(projects, resolve_members, self._jobs.starter_of)
        self._runner = Runner(
            self._leases,
            projects,
            self._rights,
            canceller_of,
            sleep=time.sleep,
            monotonic=time.monotonic,
        )
        self.service = self._build_service()
        self._tasks = [self._start(loop) for loop in self._build_loops()]

    def _build_projects(self) -> Projects:
        policies = Policies(replace(self.services.policy, approvals=1, watch_channel=CHANNEL))
        project = Project(id=PROJECT_ID, name="shop-prod", policies=policies, atlas=self._atlas)
        return Projects([project])

    def _build_service(self) -> CancellationService:
        return CancellationService(
            self.requests,
            self._projects,
            self._runner,
            self._rights,
            jobs=self._jobs,
        )

    def _build_loops(self) -> list[Coroutine[Any, Any, None]]:
        time = self._time
        quarantine = Quarantine(
            self._quarantined,
            self._projects,
            self._jobs,
            self._runner,
            slack_answers=self._slack_answers,
            takes_posts=_always,
            knows_projects=lambda: True,
            copy_card=_never_needed,
        )
        requests = RequestStore(self.database, time, fence=self._fence)
        sweeping = partial(sweep, requests, self._leases, self._runner)
        jobs = replace(self._jobs, store=JobStore(self.database, time, fence=self._fence))
        repeated = partial(repeat, event="failed", sleep=time.sleep)
        loops: list[Loop] = [
            partial(repeated, quarantine.step, Timings.quarantine_interval),
            partial(repeated, sweeping, Timings.sweep_interval),
            partial(repeated, jobs.follow, jobs.interval),
            self._watch_jobs,
            self._deliver,
        ]
        return [self.leader.run(), *(self.leader.loop(each)() for each in loops)]

    def _start(self, loop: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(loop, name=self.name)

    @property
    def alive(self) -> bool:
        return not self.database.is_cut

    def kill(self) -> None:
        """End it as SIGKILL does: nothing more is written, sent or released."""
        self.database.is_cut = True
        for task in (*self._tasks, *self._runner._tasks.values()):
            task.cancel()

    async def close(self) -> None:
        self.kill()
        runs = list(self._runner._tasks.values())
        await asyncio.gather(*self._tasks, *runs, return_exceptions=True)
        await self.database.close()

    async def _slack_answers(self) -> bool:
        return self.services.slack_is_up

    async def _watch_jobs(self) -> None:
        """Read the cluster every two seconds, as the watch does."""
        atlas_clock = AtlasClock()
        while True:
            try:
                await self._watch.record_watch(PROJECT_ID)
                await self._watch.record_clusters(PROJECT_ID, [CLUSTER])
                began = self._time.monotonic()
                jobs = await self._atlas.restore_jobs(PROJECT_ID, CLUSTER)
                atlas_clock.saw(created_at(jobs[0].id), self._time.monotonic())
                await self._watch.record_jobs(PROJECT_ID, CLUSTER, jobs)
                await self._watch.record_watch(PROJECT_ID, atlas_clock.at(began))
            except (CancellationError, Unavailable):
                pass  # the next read comes soon
            await self.services.time.sleep(2.0)

    async def _deliver(self) -> None:
        """Deliver due posts every second, while Slack is up, which accepts each immediately."""
        while True:
            if self.services.slack_is_up:
                try:
                    claimed = await self._outbox.claim(self.name, 50, 50, 50)
                except CancellationError:
                    claimed = []  # the next claim takes what this one may hold
                for post in claimed:
                    self._take(post)
                    await self._mark_sent(post)
            await self.services.time.sleep(1.0)

    async def _mark_sent(self, post: Post) -> None:
        for _ in range(2):
            try:
                await self._outbox.mark_sent(post, CHANNEL, f"{post.id}.000100")
            except CancellationError:
                continue  # its answer was lost, or the claim runs out
            return

    def _take(self, post: Any) -> None:
        """Let Slack accept a message; it recognizes a repeated one."""
        services = self.services
        services.posted[post.client_msg_id] += 1
        if isinstance(post, RequestPost):
            of = services.kinds.setdefault(post.request.id, set())
            of.add((post.kind.value, str(post.event), post.client_msg_id))
            if post.kind is PostKind.CARD and post.request.by_bot:
                services.shown_at.setdefault(post.request.ref.job_id, services.time.elapsed)


async def _always(_channel: str, _max_age: float) -> bool:
    return True


async def _never_needed(request: Request) -> None:
    raise AssertionError(f"the channel of {request.id} takes posts")
