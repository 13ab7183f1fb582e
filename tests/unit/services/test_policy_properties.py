"""Random policies and random clicks: no DELETE without a quorum of distinct entitled people."""

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.atlas import ActivityEvent, JobRef, RateLimited, RestoreJob
from bot.cancellation.errors import CancellationError
from bot.cancellation.lifecycle import JobFingerprint, Request, State
from bot.cancellation.people import ActingPerson, Kind, People, Person
from bot.cancellation.policy import Policies, Policy
from bot.services.projects import Project, Projects
from bot.services.rights import RightsCheck
from bot.services.runner import Runner
from bot.services.service import CancellationService, Submission
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.history import History
from bot.storage.lease_store import LeaseStore
from bot.storage.request_store import RequestStore
from bot.timings import Timings
from tests.support.clock import FakeClock
from tests.support.domain import JOB_ID, PROJECT_ID, SHOWN, a_job, an_ask
from tests.support.fake_atlas import UnconnectedAtlas, canceller_of
from tests.support.service import jobs_service, new_database
from tests.support.timings import DATABASE_TIMEOUT

IDS = ("U0RINA", "U0ADA", "U0ABE", "U0GUS", "U0OLGA")
GROUPS = ("S0APPROVE", "S0DBA")
TTL = 60


@dataclass(slots=True)
class OneJob(UnconnectedAtlas):
    """An Atlas with one job, which calls the model at each DELETE."""

    model: "PolicyModel"
    snapshot_id: str = SHOWN.snapshot_id
    cancelled: bool = False
    limits: bool = False  # the next DELETE is put off for longer than `run_timeout`
    key_id: str = "botkey"

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        assert ref.job_id == JOB_ID
        del timeout
        return a_job(snapshotId=self.snapshot_id, cancelled=self.cancelled)

    async def events(self, *_arguments: object) -> list[ActivityEvent]:
        return []

    async def cancel_restore_job(self, ref: JobRef) -> int:
        assert ref.job_id == JOB_ID
        self.model.delete_is_sent(await self.restore_job(ref))
        if self.limits:
            self.limits = False
            raise RateLimited(retry_after=300.0, status=429)
        self.cancelled = True
        return 204


@dataclass(slots=True)
class PolicyModel:
    """The expected state, kept without the store: decisions, their people and validity."""

    policy: Policy
    clock: FakeClock = field(default_factory=FakeClock)
    requester: str | None = None
    team: str | None = None
    asked_at: datetime | None = None
    slack: dict[str, Person] = field(default_factory=dict)  # each person at their last click
    yes: set[str] = field(default_factory=set)
    ready: bool = False  # approved, so that a run may send a DELETE
    ended: bool = False  # by a denial, a withdrawal, or its expiry
    chances: int = 0  # how often a run may send one DELETE
    deletes: int = 0

    def may(self, people: People, person: Person) -> bool:
        """Interpret a setting as its documentation does, independently of the policy module."""
        if person.kind is Kind.DEACTIVATED:
            return False
        if person.id in people.users:
            return True
        if person.kind not in {Kind.MEMBER, Kind.COLLEAGUE}:
            return False
        everyone = people.everyone and person.kind is Kind.MEMBER
        return everyone or not people.groups.isdisjoint(person.groups)

    def may_approve(self, person: Person) -> bool:
        own = person.id == self.requester and not self.policy.self_approval
        return self.may(self.policy.approvers, person) and not own

    def is_requester(self, person: Person) -> bool:
        """Outsiders are compared by team too; people of the own organization may have several."""
        return person.id == self.requester and (
            person.kind is not Kind.OUTSIDER or person.team == self.team
        )

    @property
    def is_in_time(self) -> bool:
        assert self.asked_at is not None
        return self.clock() < self.asked_at + self.policy.approval_ttl

    @property
    def waits(self) -> bool:
        return self.requester is not None and not self.ready and not self.ended and self.is_in_time

    @property
    def still_asked(self) -> bool:
        """Whether the requester may still ask, as Slack has them now."""
        assert self.requester is not None
        return self.may(self.policy.requesters, self.slack[self.requester])

    @property
    def still_yes(self) -> set[str]:
        """The approvals that still count, as Slack has their people now."""
        return {user for user in self.yes if self.may_approve(self.slack[user])}

    def delete_is_sent(self, job: RestoreJob) -> None:
        """Assert the main rule at the moment of the DELETE."""
        self.deletes += 1
        assert self.still_asked
        assert len(self.still_yes) >= self.policy.approvals
        assert not self.ended
        assert self.deletes <= self.chances
        assert JobFingerprint.of(job) == SHOWN


class RecordingRunner(Runner):
    """A runner whose started requests run only when the test starts them."""

    def __init__(self, *stores: Any, **values: Any) -> None:
        super().__init__(*stores, **values)
        self.started: list[str] = []

    def start(self, request_id: str) -> None:
        self.started.append(request_id)


@dataclass(slots=True, kw_only=True)
class ServiceHarness:
    """The services over a real database, without Slack."""

    model: PolicyModel
    atlas: OneJob
    store: RequestStore
    service: CancellationService
    runner: RecordingRunner
    record: AuditLog
    request_id: str = "none"


Decision = Literal["submit", "approve", "deny", "withdraw", "retry"]
Event = Literal["pass time", "sweep", "run", "limited run", "change job", "change person"]


@dataclass(frozen=True, slots=True)
class Step:
    """What happens next; several people approve in the same moment."""

    act: Decision | Event
    people: tuple[Person, ...] = ()
    seconds: int = 0


_ids = st.sampled_from(IDS)
_groups = st.sampled_from([frozenset(GROUPS), frozenset(GROUPS[:1]), frozenset[str]()])
# Mostly people with rights: a run of refusals only would test little.
_kinds = st.sampled_from([Kind.MEMBER] * 12 + [kind for kind in Kind if kind is not Kind.OPERATOR])


@st.composite
def _persons(draw: st.DrawFn) -> Person:
    """A person as Slack describes them at one click; groups and kinds change between clicks."""
    kind = draw(_kinds)
    team = "T0OTHER" if kind is Kind.OUTSIDER else "T0HOME"
    return Person(id=draw(_ids), team=team, kind=kind, groups=draw(_groups))


_people = st.one_of(
    st.just(People(everyone=True)),
    st.just(People(groups=frozenset(GROUPS))),
    st.builds(People, users=st.frozensets(_ids), groups=_groups),
)
_policies = st.builds(
    Policy,
    requesters=st.one_of(st.just(People(everyone=True)), _people),
    approvals=st.sampled_from([1, 2, 0, 3]),
    approvers=_people,
    self_approval=st.booleans(),
    approval_ttl=st.just(timedelta(seconds=TTL)),
)
_different = st.lists(_persons(), min_size=1, max_size=3, unique_by=lambda person: person.id)


def _by(act: Decision | Event) -> st.SearchStrategy[Step]:
    people = _different.map(tuple) if act == "approve" else st.tuples(_persons())
    return st.builds(Step, st.just(act), people)


_steps: st.SearchStrategy[Step] = st.one_of(
    *(_by("approve") for _ in range(5)),
    _by("deny"),
    _by("withdraw"),
    _by("retry"),
    _by("change person"),
    st.builds(Step, st.just("pass time"), seconds=st.sampled_from([1, 10, 20, TTL])),
    st.builds(Step, st.just("sweep")),
    st.builds(Step, st.just("run")),
    st.builds(Step, st.sampled_from(["run", "limited run"])),
    st.builds(Step, st.just("change job")),
)


@settings(max_examples=50)
@given(policy=_policies, asker=_persons(), steps=st.lists(_steps, max_size=14))
def test_no_delete_without_a_quorum_of_distinct_entitled_people(
    policy: Policy, asker: Person, steps: list[Step]
) -> None:
    """The model predicts each answer, and checks each DELETE at the moment it is sent."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(new_database(Path(folder)), policy, [Step("submit", (asker,)), *steps]))


async def _play(url: str, policy: Policy, steps: list[Step]) -> None:
    database = Database(url, timeout=DATABASE_TIMEOUT)
    try:
        harness = _harness(database, policy)
        for step in steps:
            await _apply(harness, step)
        await _apply(harness, Step("run"))
        await _is_consistent(harness)
    finally:
        await database.close()


def _harness(database: Database, policy: Policy) -> ServiceHarness:
    model = PolicyModel(policy)
    atlas = OneJob(model)
    project = Project(id=PROJECT_ID, name="shop-prod", policies=Policies(policy), atlas=atlas)
    projects, clock = Projects([project]), model.clock
    store = RequestStore(database, clock)

    async def sleep(seconds: float) -> None:
        if seconds >= Timings.lease_renewal_interval:
            await asyncio.Event().wait()  # no run here is as long as a lease
        clock.advance(seconds)
        await asyncio.sleep(0)

    async def resolve(users: Collection[str], _groups: Collection[str]) -> dict[str, Person]:
        return {user: model.slack[user] for user in users}

    leases, rights = LeaseStore(database, clock, "runner-1"), RightsCheck(projects, resolve)
    runner = RecordingRunner(
        leases, projects, rights, canceller_of, sleep=sleep, monotonic=clock.monotonic
    )
    service = CancellationService(
        store,
        projects,
        runner,
        rights,
        jobs=jobs_service(projects, database, clock),
    )
    return ServiceHarness(
        model=model,
        atlas=atlas,
        store=store,
        service=service,
        runner=runner,
        record=AuditLog(database),
    )


async def _apply(harness: ServiceHarness, step: Step) -> None:
    match step.act:
        case "pass time":
            harness.model.clock.advance(step.seconds)
        case "sweep":
            await harness.store.end_due()
        case "run" | "limited run":
            harness.atlas.limits = step.act == "limited run"
            for request_id in [harness.runner.started.pop() for _ in list(harness.runner.started)]:
                await harness.runner.run(request_id)
            await _return_to_approvers(harness)
        case "change job":
            harness.atlas.snapshot_id = "f" * 24
        case _:
            harness.model.slack |= {person.id: person for person in step.people}
            await _decide(harness, step)


async def _return_to_approvers(harness: ServiceHarness) -> None:
    """Expect a request back in `awaiting` only where its rights no longer hold."""
    model = harness.model
    if model.ready and await _state(harness) is State.AWAITING:
        assert not (model.still_asked and len(model.still_yes) >= model.policy.approvals)
        model.yes, model.ready = model.still_yes, False


async def _decide(harness: ServiceHarness, step: Step) -> None:
    model, person = harness.model, step.people[0]
    match step.act:
        case "submit":
            await _ask(harness, person)
        case "approve":
            await _approve(harness, step.people)
        case "deny":
            no = harness.service.deny(harness.request_id, ActingPerson(person), "no")
            model.ended |= await _allowed(no, may=model.waits and model.may_approve(person))
        case "withdraw":
            back = harness.service.withdraw(harness.request_id, ActingPerson(person))
            model.ended |= await _allowed(back, may=model.waits and model.is_requester(person))
        case "retry":
            await _retry(harness, person)


async def _allowed(decision: Awaitable[Request], *, may: bool) -> bool:
    """Compare the service's answer with the model's."""
    [answer] = await asyncio.gather(decision, return_exceptions=True)
    assert not isinstance(answer, BaseException) or isinstance(answer, CancellationError)
    assert (not isinstance(answer, CancellationError)) is may
    return may


async def _ask(harness: ServiceHarness, person: Person) -> None:
    model, policy = harness.model, harness.model.policy
    members = frozenset(IDS) if policy.approvers.groups else frozenset[str]()
    submission = Submission(
        key="V1",
        person=ActingPerson(person),
        ask=an_ask(reason=""),
        channel="C0OPS",
        approver_members=members,
    )
    named = policy.approvers.users | members
    able = named if policy.self_approval else named - {person.id}
    enough = policy.approvers.everyone or len(able) >= policy.approvals
    may = model.may(policy.requesters, person) and enough
    if await _allowed(harness.service.submit(submission), may=may):
        request = await History(harness.store.database, model.clock).newest_request_for(
            submission.ask.ref
        )
        assert request
        harness.request_id = request.id
        model.requester, model.team = person.id, person.team
        model.asked_at = model.clock()
        model.chances = 1
        model.ready = policy.approvals == 0


async def _approve(harness: ServiceHarness, people: tuple[Person, ...]) -> None:
    """Let all click concurrently: any may win, but the number of approvals that count is fixed."""
    model = harness.model
    waits = model.waits and model.still_asked
    counted = model.still_yes
    missing = max(1, model.policy.approvals - len(counted))
    complete = len(model.yes) >= model.policy.approvals  # back from a run: all may approve again
    able = {p.id for p in people if waits and model.may_approve(p)}
    able -= set() if complete else model.yes
    clicks = [harness.service.approve(harness.request_id, ActingPerson(each)) for each in people]
    answers = await asyncio.gather(*clicks, return_exceptions=True)
    won = [p for p, a in zip(people, answers, strict=True) if not isinstance(a, Exception)]
    for answer in answers:
        assert not isinstance(answer, BaseException) or isinstance(answer, CancellationError)

    assert all(model.may_approve(person) for person in won)
    assert {person.id for person in won} <= able
    if complete:
        assert bool(won) == bool(able)
    else:
        assert len(won) == min(len(able), missing if waits else 0)
    if won:
        model.yes = counted | {person.id for person in won}
        model.ready = len(model.yes) >= model.policy.approvals


async def _retry(harness: ServiceHarness, person: Person) -> None:
    model = harness.model
    state = await _state(harness)
    may = state is State.FAILED and model.still_asked and model.may(model.policy.requesters, person)
    if await _allowed(harness.service.retry(harness.request_id, ActingPerson(person)), may=may):
        model.chances += 1
        if not (model.yes and model.is_in_time):  # approvals count until their time is over
            model.asked_at, model.yes = model.clock(), set()
        model.ready = len(model.yes) >= model.policy.approvals


async def _state(harness: ServiceHarness) -> State | None:
    if harness.model.requester is None:
        return None
    return (await harness.store.get(harness.request_id)).state


async def _is_consistent(harness: ServiceHarness) -> None:
    model = harness.model
    state = await _state(harness)
    if model.requester is None:
        assert model.deletes == 0
        return
    events = [line async for line in harness.record.events(request=harness.request_id)]
    given: set[str | None] = set()
    for line in events:
        if line.event in ("request:approval_given", "request:approved") and line.actor:
            given.add(line.actor)
        if line.event == "request:retried" and not json.loads(line.detail)["approvals_kept"]:
            given.clear()
        if line.event == "request:approval_voided":
            given.remove(json.loads(line.detail)["user"])

    assert given == model.yes
    assert await harness.record.verify() == []
    assert sum(line.event == "atlas:cancel_sent" for line in events) == model.deletes
    assert (state is State.CANCELLED) == harness.atlas.cancelled
    assert state in _possible(model)


def _possible(model: PolicyModel) -> set[State]:
    if model.ended:
        return {State.DENIED, State.WITHDRAWN}
    if not model.ready:
        return {State.AWAITING, State.EXPIRED}
    return {State.CANCELLED, State.CHANGED, State.FAILED}
