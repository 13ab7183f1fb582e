"""A runner with a scripted Atlas, a store in memory, and scripted answers of Slack."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from bot.atlas import AtlasReader, JobRef, RestoreJob
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import DeleteAttempts, Outcome, Request, State
from bot.cancellation.people import Kind, Person
from bot.cancellation.policy import Policies, Policy
from bot.services.projects import Project, Projects
from bot.services.rights import ResolvePeople, RightsCheck
from bot.services.runner import Runner
from bot.storage.database import Database
from bot.storage.lease_store import LeaseStore
from tests.support.clock import FakeClock
from tests.support.domain import PROJECT_ID, a_job, a_request, resolve_members
from tests.support.fake_atlas import UnconnectedAtlas, canceller_of

THERE = a_job()
CANCELLED = a_job(cancelled=True)
EXPIRED = a_job(expired=True)
ACCEPTED = 204
UNKNOWN = DeleteAttempts(count=1, unknown=True)
Answer = Any


@dataclass(slots=True)
class ScriptedAtlas(UnconnectedAtlas):
    """An Atlas that gives the scripted answers in turn; the last one repeats."""

    reads: list[Answer]
    deletes: list[Answer] = field(default_factory=lambda: [ACCEPTED])
    calls: list[str] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)
    refs: list[JobRef] = field(default_factory=list)
    seconds: float = 0.1
    clock: FakeClock = field(default_factory=FakeClock)

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        self.calls.append("GET")
        self.timeouts.append(timeout)
        self.refs.append(ref)
        await asyncio.sleep(0)  # lets the run ask Slack
        answer: RestoreJob = self._next(self.reads)
        return answer

    async def cancel_restore_job(self, ref: JobRef) -> int:
        self.calls.append("DELETE")
        self.refs.append(ref)
        answer: int = self._next(self.deletes)
        return answer

    def _next(self, answers: list[Answer]) -> Answer:
        self.clock.advance(self.seconds)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass(slots=True)
class HangingAtlas(ScriptedAtlas):
    """An Atlas that never answers; `started` is set once it is asked."""

    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        self.started.set()
        await asyncio.Event().wait()
        raise AssertionError


@dataclass(slots=True)
class FakeLeaseStore(LeaseStore):
    """A store in memory with one request; it keeps the writes of the runner.

    `faults` are raised by `claim`, and at the record of what was `sent` and its `answer`.
    """

    database: Database = field(init=False)
    now: Callable[[], datetime] = field(init=False, default_factory=FakeClock)
    owner: str = field(init=False, default="runner-1")
    request: Request = field(default_factory=a_request)
    written: list[str] = field(default_factory=list)
    answers: list[Mapping[str, object]] = field(default_factory=list)
    reads: list[RestoreJob] = field(default_factory=list)
    read_at: list[datetime] = field(default_factory=list)
    job: RestoreJob | None = None
    settled: tuple[State, Outcome] | None = None
    held_by_another: bool = False
    faults: dict[str, Exception] = field(default_factory=dict)
    released: str | None = None
    judgement: Judgement | None = None

    async def claim(self, request_id: str) -> Request | None:
        self._fail("claim")
        return None if self.held_by_another else self.request

    async def renew(self, request_id: str, seconds: float | None = None) -> bool:
        self.released = request_id if seconds == 0 else None
        return not self.held_by_another

    async def record_delete_sent(self, request: Request) -> Request:
        self._fail("sent")
        self.written.append("sent")
        sent = replace(request.sent, count=request.sent.count + 1, unknown=True)
        return replace(request, sent=sent)

    async def record_delete_answer(
        self,
        request: Request,
        sent: DeleteAttempts,
        answer: Mapping[str, object],
        read_at: datetime,
    ) -> Request:
        self._fail("answer")
        self.read_at.append(read_at)
        self.written.append(f"answered {answer['status']}")
        self.answers.append(answer)
        return replace(request, sent=sent)

    async def record_read(self, request: Request, job: RestoreJob, read_at: datetime) -> None:
        self.written.append("read")
        self.reads.append(job)
        self.read_at.append(read_at)

    async def record_check_failed(self, request: Request, why: str) -> None:
        self.written.append(f"check failed for {request.id}: {why}")

    async def settle(
        self,
        request: Request,
        state: State,
        outcome: Outcome,
        judgement: Judgement | None = None,
        *,
        job: RestoreJob | None = None,
        read_at: datetime | None = None,
    ) -> Request:
        self.judgement, self.job = judgement, job
        self.read_at += [read_at] if read_at else []
        self.settled = (state, outcome)
        return replace(request, state=state, outcome=outcome)

    def _fail(self, where: str) -> None:
        if where in self.faults:
            raise self.faults[where]


@dataclass(slots=True)
class ScriptedSlack:
    """Resolves people as scripted: one kind for all, or an error; the last one repeats."""

    answers: list[Kind | Exception]
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    on_ask: Callable[[], None] = lambda: None

    async def resolve(self, users: Collection[str], _groups: Collection[str]) -> dict[str, Person]:
        self.was_asked.set()
        self.on_ask()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {user: Person(id=user, team="T1", kind=answer) for user in users}


def a_runner(
    store: FakeLeaseStore,
    atlas: AtlasReader | None = None,
    policy: Policy | Policies | None = None,
    slack: ScriptedSlack | None = None,
    **values: Any,
) -> Runner:
    """Return a runner of one project, or of none without `atlas`; all people are members."""
    clients = (atlas,) if atlas else ()
    policies = policy if isinstance(policy, Policies) else Policies(policy or Policy())
    projects = Projects(
        [Project(id=PROJECT_ID, name="shop", policies=policies, atlas=a) for a in clients]
    )
    rights = RightsCheck(projects, slack.resolve if slack else resolve_members)
    return Runner(store, projects, rights, canceller_of, **values)


async def run(
    atlas: ScriptedAtlas,
    store: FakeLeaseStore | None = None,
    *slack_answers: Kind | Exception,
    policy: Policy | Policies | None = None,
    slack_seconds: float = 0.0,
    resolve: ResolvePeople | None = None,
) -> tuple[State, Outcome]:
    store = store or FakeLeaseStore()

    async def sleep(seconds: float) -> None:
        # The lease's renewal never comes due.
        await (asyncio.Event().wait() if seconds == 3.0 else asyncio.sleep(0))
        await atlas.clock.sleep(seconds)

    on_ask = partial(atlas.clock.advance, slack_seconds)
    slack = ScriptedSlack([*slack_answers], on_ask=on_ask) if slack_answers else None
    runner = a_runner(store, atlas, policy, slack, sleep=sleep, monotonic=atlas.clock.monotonic)
    if resolve:
        runner.rights = RightsCheck(runner.projects, resolve)
    await runner.run(store.request.id)
    assert store.settled
    return store.settled
