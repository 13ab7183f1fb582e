"""A watch and a quarantine over one real database, stepped second by second."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from bot.atlas import AtlasClock, AtlasError, DeliveryType, JobRef, TimedOut, created_at
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.lifecycle import State
from bot.cancellation.people import EVERYONE, People, Person
from bot.cancellation.policy import ClusterPolicy, Mode, Policies, Policy
from bot.cancellation.posts import Post, PostKind, RequestPost
from bot.cancellation.starter import LISTED_AFTER
from bot.leader_loops import quarantine_at
from bot.services.projects import Project, Projects
from bot.services.quarantine import KeptDownloads, Quarantine
from bot.services.rights import RightsCheck
from bot.services.runner import Runner
from bot.services.service import CancellationService
from bot.services.sweeper import Notifier, StarterQuestions
from bot.storage.history import History
from bot.storage.lease_store import LeaseStore
from bot.storage.notice_store import NoticeStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.quarantine_store import QuarantineStore
from bot.storage.request_store import RequestStore
from bot.storage.watch_store import WatchStore
from tests.support.clock import FakeClock
from tests.support.domain import PROJECT_ID, RINA, a_job, job_ref, resolve_members
from tests.support.fake_atlas import FakeAtlas, canceller_of, event_near
from tests.support.service import jobs_service

if TYPE_CHECKING:
    from datetime import datetime

    from bot.atlas import ActivityEvent, RestoreJob
    from bot.cancellation.lifecycle import Request
    from bot.storage.database import Database

GRACE = 20
ENFORCED = Policy(
    quarantine=Mode.ENFORCE,
    quarantine_grace=timedelta(seconds=GRACE),
    quarantine_expected=frozenset({"etl@shop.example"}),
    quarantine_limit=1000,
)

#: Seconds between two steps, where a test needs no finer ones: shorter than a silence of Slack.
STEP = 4

CLUSTER, TEST = "prod-eu", "test-eu"
CHANNEL = "C0WATCH"


@dataclass(slots=True)
class JumpingClock(FakeClock):
    """A clock whose time may jump while its monotonic seconds go on."""

    elapsed: float = 0.0

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, seconds: float) -> None:
        self.elapsed += seconds
        self.now += timedelta(seconds=seconds)

    def jump(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class CancellingAtlas(FakeAtlas):
    """An Atlas that cancels.

    Attributes:
        deleted: the jobs of all DELETEs, with the monotonic time.
        late: events of the feed, with the monotonic time from which it shows them.
        refusal: what every DELETE raises, if anything.
        read_time: seconds that a read of a job takes.
    """

    refusal: AtlasError | None = None
    read_time: float = 0.0

    def __init__(self, clock: JumpingClock) -> None:
        super().__init__({CLUSTER: [], TEST: []})
        self.clock = clock
        self.deleted: list[tuple[str, float]] = []
        self.late: list[tuple[float, ActivityEvent]] = []

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        if timeout and timeout < self.read_time:
            raise TimedOut
        return await super().restore_job(ref)

    async def cancel_restore_job(self, ref: JobRef) -> int:
        self.deleted.append((ref.job_id, self.clock.elapsed))
        if self.refusal:
            raise self.refusal
        self.change(ref.job_id, cancelled=True)
        return 204

    def change(self, job_id: str, **changes: object) -> None:
        for cluster, jobs in self.jobs.items():
            self.jobs[cluster] = [
                each.model_copy(update=changes) if each.id == job_id else each for each in jobs
            ]

    async def events(self, project_id: str, since: datetime) -> list[ActivityEvent]:
        return [event for from_, event in self.late if from_ <= self.clock.elapsed]


class Replica:
    """The loops of one process."""

    def __init__(self, env: QuarantineEnv, name: str) -> None:
        self._env = env
        self.has_old_answer = False  # whether it knows the channel as it was before
        database, clock, projects = env.database, env.clock, env.projects
        jobs = self.jobs = jobs_service(projects, database, clock)
        store = QuarantineStore(
            database,
            clock,
            partial(quarantine_at, projects),
            on_limit=env.limited.append,
        )
        self.watch = WatchStore(database, clock, name, store)
        leases = LeaseStore(database, clock, name)
        self.runner = Runner(
            leases,
            projects,
            RightsCheck(projects, resolve_members, jobs.starter_of),
            canceller_of,
            monotonic=clock.monotonic,
        )
        self.quarantine = Quarantine(
            store,
            projects,
            jobs,
            self.runner,
            slack_answers=env.slack_answers,
            takes_posts=self.takes_posts,
            knows_projects=lambda: env.knows_projects,
            copy_card=env.direct.copy_card,
        )
        self.kept = KeptDownloads(store, projects, env.email_of)
        notices = NoticeStore(database, clock)
        self.questions = StarterQuestions(notices, projects, env.member_with_email)
        self.service = CancellationService(
            env.requests,
            projects,
            self.runner,
            RightsCheck(projects, resolve_members, jobs.starter_of),
            jobs=jobs,
        )

    async def takes_posts(self, _channel: str, max_age: float) -> bool:
        is_old_answer = self.has_old_answer and max_age > 0
        return is_old_answer or not self._env.channel_is_archived

    async def step(self) -> None:
        """Step once, and let the runs that began end."""
        await self.kept.step()
        await self.questions.step()
        await self._env.requests.end_due()
        await self.quarantine.step()
        await self.runs()

    async def runs(self) -> None:
        """Let the runs that began end."""
        while tasks := [each for each in asyncio.all_tasks() if each.get_name().startswith("run ")]:
            await asyncio.gather(*tasks)


@dataclass(slots=True)
class QuarantineEnv:
    """One project with its replicas.

    Attributes:
        slack_is_up: whether Slack takes cards and answers.
        emails: what Slack answers, by user; it does not answer about others.
        channel_is_archived: whether the channel takes no posts.
        knows_projects: whether the list of each organization was read.
        posted: the posts that Slack took, in order.
        limited: the project's name for each download beyond the limit.
        shown_at: when each job's card was delivered, in monotonic seconds.
        copied_at: when each copy was delivered, by its recipient.
        edits: how many edits of cards were delivered.
    """

    database: Database
    policy: Policy
    clusters: tuple[ClusterPolicy, ...] = ()
    approvers: People = EVERYONE
    clock: JumpingClock = field(default_factory=JumpingClock)
    slack_is_up: bool = True
    emails: dict[str, str | None] = field(default_factory=dict)
    channel_is_archived: bool = False
    knows_projects: bool = True
    limited: list[str] = field(default_factory=list)
    posted: list[Post] = field(default_factory=list)
    shown_at: dict[str, float] = field(default_factory=dict)
    copied_at: dict[str, float] = field(default_factory=dict)
    edits: int = 0
    atlas_clock: AtlasClock = field(default_factory=AtlasClock)
    atlas: CancellingAtlas = field(init=False)
    projects: Projects = field(init=False)
    requests: RequestStore = field(init=False)
    history: History = field(init=False)
    direct: Notifier = field(init=False)
    replicas: list[Replica] = field(init=False)
    _outbox: OutboxStore = field(init=False)

    def __post_init__(self) -> None:
        self.atlas = CancellingAtlas(self.clock)
        policy = replace(self.policy, approvers=self.approvers, watch_channel=CHANNEL)
        policies = Policies(policy, self.clusters)
        project = Project(id=PROJECT_ID, name="shop-prod", policies=policies, atlas=self.atlas)
        self.projects = Projects([project])
        self.requests = RequestStore(self.database, self.clock)
        self.history = History(self.database, self.clock)
        self._outbox = OutboxStore(self.database, self.clock)
        notices = NoticeStore(self.database, self.clock)
        self.direct = Notifier(notices, self.projects, self._find)
        self.replicas = [Replica(self, "one")]

    async def slack_answers(self) -> bool:
        return self.slack_is_up

    async def email_of(self, user: str) -> str | None:
        if user not in self.emails:
            raise RightsNotChecked("Slack did not answer in time.")
        return self.emails[user]

    async def member_with_email(self, email: str) -> str | None:
        for user, own in self.emails.items():
            if own == email:
                return user
        raise RightsNotChecked("Slack did not answer in time.", is_temporary=True)

    async def _find(self, people: People) -> list[Person]:
        return [Person(id=user, team=RINA.team, name=user) for user in sorted(people.users)]

    async def start(self) -> None:
        """Read the cluster for the first time."""
        watch = self.replicas[0].watch
        await watch.record_watch(PROJECT_ID)
        await watch.record_clusters(PROJECT_ID, [*self.atlas.jobs])
        await self.read_jobs()

    async def read_jobs(self) -> None:
        """Read the jobs, and record that all clusters were read."""
        watch, began = self.replicas[0].watch, self.clock.monotonic()
        for cluster, jobs in self.atlas.jobs.items():
            await watch.record_jobs(PROJECT_ID, cluster, jobs)
            for job in jobs:
                self.atlas_clock.saw(created_at(job.id), began)
        await watch.record_watch(PROJECT_ID, self.atlas_clock.at(began))

    async def find_starters(self) -> None:
        """Read all jobs once each that may have an event is listed, and look for the starters."""
        await self.second(LISTED_AFTER.total_seconds() + 1)
        await self.read_jobs()
        await self.replicas[0].jobs.follow()

    def begin(self, number: int, cluster: str = CLUSTER, /, **changes: object) -> str:
        """Start a download; return its id, which begins with the time."""
        job_id = f"{int(self.clock.now.timestamp()):08x}{number:016x}"
        values = {"id": job_id, "deliveryType": DeliveryType.DOWNLOAD, **changes}
        self.atlas.jobs[cluster] = [a_job(**values), *self.atlas.jobs[cluster]]
        return job_id

    def show_starter(self, job_id: str, name: str, delay: float = 0.0) -> None:
        """Add the starter of a job to the feed, after a delay."""
        event = event_near(job_id, name, created_at(job_id))
        self.atlas.late.append((self.clock.elapsed + delay, event))

    async def second(self, seconds: float = 1.0) -> None:
        """Advance the clock, deliver due posts if Slack is up, and step every replica."""
        self.clock.advance(seconds)
        if self.slack_is_up:
            await self._deliver()
        for replica in self.replicas:
            await replica.step()

    async def _deliver(self) -> None:
        while claimed := await self._outbox.claim("outbox", 50, 50, 50):
            self.posted += claimed
            for post in claimed:
                if self.channel_is_archived and not post.recipient:
                    await self._outbox.retry_later(post, 5, "is_archived")
                    if not post.is_edit:
                        await self.direct.send(post)
                    continue
                await self._outbox.mark_sent(post, CHANNEL, f"{post.id}.000100")
                if not isinstance(post, RequestPost):
                    continue
                self.edits += post.is_edit
                if post.is_edit:
                    continue
                if post.kind is PostKind.CARD:
                    self.shown_at[post.request.ref.job_id] = self.clock.elapsed
                if post.kind is PostKind.COPY and post.recipient:
                    self.copied_at[post.recipient] = self.clock.elapsed

    async def request(self, job_id: str) -> Request:
        """Return the newest request for a job, which must have one."""
        request = await self.history.newest_request_for(job_ref(job_id))
        assert request
        return request

    async def state(self, job_id: str) -> State | None:
        request = await self.history.newest_request_for(job_ref(job_id))
        return request.state if request else None

    def deletes(self, job_id: str) -> list[float]:
        return [at for deleted, at in self.atlas.deleted if deleted == job_id]

    def seconds_held(self, job_id: str, since: float | None = None) -> float:
        """Return the time from the delivery of a job's card, or `since`, to its only DELETE."""
        (deleted_at,) = self.deletes(job_id)
        return deleted_at - (self.shown_at[job_id] if since is None else since)

    def job(self, job_id: str) -> RestoreJob:
        return next(each for each in self.atlas.jobs[CLUSTER] if each.id == job_id)


async def pass_seconds(env: QuarantineEnv, seconds: int, step: int = STEP) -> None:
    for passed in range(0, seconds, step):
        await env.second(min(step, seconds - passed))


async def quarantined(env: QuarantineEnv, number: int = 1) -> str:
    """Start a download, and return its id once its card is delivered."""
    job_id = env.begin(number)
    await env.read_jobs()
    await env.second()
    assert await env.state(job_id) is State.QUARANTINED
    return job_id
