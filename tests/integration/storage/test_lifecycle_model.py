"""The life cycle against a model: random actions, crashes and interleavings on real stores.

The model has the jobs of Atlas, the leases, and the possible states of each request. Every
action runs on the stores; its result must be that of the model, and after each one the whole
database is compared.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection

from bot.cancellation.errors import (
    AlreadyApproved,
    AlreadyHandled,
    CancellationError,
    JobAlreadyRequested,
    RequestExpired,
)
from bot.cancellation.events import EventName
from bot.cancellation.job import USUAL_WAIT, Job
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import (
    OPEN,
    UNDECIDED,
    DeleteAttempts,
    Ending,
    JobFingerprint,
    Outcome,
    Request,
    State,
    Step,
    next_step,
)
from bot.cancellation.people import ActingPerson
from bot.cancellation.policy import Mode, Policy
from bot.cancellation.posts import PostKind, RequestPost
from bot.cancellation.quarantine import WatchedCluster
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.job_store import JobStore, get_or_new
from bot.storage.lease_store import LeaseStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.quarantine_store import Quarantined, QuarantineStore
from bot.storage.request_store import RequestStore
from bot.storage.tables import approvals, audit_events, chain_head, jobs, posts, requests
from bot.storage.unit_of_work import UnitOfWork, reads, writes
from bot.timings import Timings
from tests.support.clock import NOON, FakeClock
from tests.support.domain import ABE, ADA, RINA, a_job, a_request, job_ref, keep_all

#: Enough to find an order that breaks a rule; a campaign may take more.
EXAMPLES = settings(max_examples=12, stateful_step_count=40, deadline=None)

#: PostgreSQL answers more slowly, and runs the same statements.
FEWER_EXAMPLES = settings(EXAMPLES, max_examples=4)

#: The allowed transitions. A person may retry a failed request; a run whose policy no longer holds
#: returns its request to the approvers.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.AWAITING: frozenset(
        {State.APPROVED, State.DENIED, State.EXPIRED, State.WITHDRAWN, State.OVER}
    ),
    State.QUARANTINED: frozenset({State.APPROVED, State.KEPT, State.OBSERVED, State.OVER}),
    State.APPROVED: frozenset({State.CANCELLING, State.WITHDRAWN}),
    State.CANCELLING: frozenset(
        {State.CANCELLED, State.OVER, State.REFUSED, State.CHANGED, State.FAILED}
        | {State.AWAITING, State.QUARANTINED, State.KEPT, State.OBSERVED, State.WITHDRAWN}
    ),
    State.FAILED: frozenset({State.APPROVED, State.AWAITING}),
    State.KEPT: frozenset({State.QUARANTINED}),
    State.OVER: frozenset({State.QUARANTINED}),
}

#: What the watch knows of the project whose downloads are quarantined.
WATCHED = WatchedCluster(
    project="shop-prod",
    channel="C0OPS",
    policy=Policy(quarantine=Mode.ENFORCE, quarantine_limit=1000),
)
JOBS = [f"{number:024x}" for number in range(1, 13)]
PEOPLE = st.sampled_from([ADA, ABE])
RUNNERS = st.sampled_from(["one", "two"])
RETRY_TTL = timedelta(seconds=30)
NUMBERS = st.integers(min_value=0, max_value=30)


@dataclass(slots=True)
class ModelRequest:
    """The expected state of one request."""

    state: State
    job: str
    needed: int
    expires_at: datetime
    by_bot: bool = False
    approved_by: set[str] = field(default_factory=set)
    owner: str = ""
    lease_until: datetime = NOON
    seen: list[State] = field(default_factory=list)
    delivered: list[tuple[PostKind, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """The result of one DELETE."""

    has_effect: bool
    is_answered: bool
    is_noted: bool


@dataclass(slots=True)
class Worker:
    """A process: its name in the database, and the requests in its memory."""

    leases: LeaseStore
    memory: dict[str, Request] = field(default_factory=dict)


class Downloads(QuarantineStore):
    """The quarantine, with the watch that finds downloads."""

    @writes
    def find(self, uow: UnitOfWork, job: str) -> None:
        new = Job.new(job_ref(job), USUAL_WAIT, uow.now)
        shown = JobFingerprint.of(a_job(id=job))
        of_job = (job_ref(job).project_id, job_ref(job).cluster_name)
        self.quarantine_downloads(uow, *of_job, [replace(new, shown=shown)])

    @reads
    def about(self, uow: UnitOfWork, request_id: str) -> Quarantined:
        request = uow.get(request_id)
        job = get_or_new(uow, [request.ref])[request.ref]
        return Quarantined(request=request, job=job)


class LifeCycle(RuleBasedStateMachine):
    """Actions of people, runners, the clock and Slack, in any order."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self.clock = FakeClock()
        self.database = Database(url, timeout=20)
        self.store = RequestStore(self.database, self.clock)
        self.quarantine = Downloads(self.database, self.clock, lambda _project, _cluster: WATCHED)
        self.outbox = OutboxStore(self.database, self.clock)
        self.jobs = JobStore(self.database, self.clock)
        self.model: dict[str, ModelRequest] = {}
        self.cancelled: set[str] = set()  # the jobs that Atlas shows as cancelled
        self.read: set[str] = set()  # those of them that were read since
        self.found: set[str] = set()  # the downloads that were quarantined, each once
        self.starts = 0
        self.workers: dict[str, Worker] = {}

    def teardown(self) -> None:
        try:
            # At the end only: later events hide no break of the chain.
            assert self.do(AuditLog(self.database).verify()) == []
        finally:
            self.do(self.database.close())
            self._runner.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def do_or_fail(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it, and return its result or the error that it raises."""
        try:
            return self.do(work)
        except CancellationError as error:
            return error

    @initialize()
    def empty(self) -> None:
        def clear(db: Connection) -> None:
            for table in (approvals, posts, audit_events, requests, jobs):
                db.execute(table.delete())
            db.execute(chain_head.update().values(reference=""))

        self.do(self.database.write(clear))
        for name in ("one", "two"):
            self._restart(name)

    def _restart(self, name: str) -> None:
        self.starts += 1
        leases = LeaseStore(self.database, self.clock, f"{name}-{self.starts}")
        self.workers[name] = Worker(leases)

    def _one(self, number: int, state: State) -> tuple[str, ModelRequest]:
        """Pick a request: mostly one in `state`, or little that is allowed would ever happen."""
        fitting = [key for key, entry in self.model.items() if entry.state is state]
        ids = fitting if fitting and number % 4 else list(self.model)
        if not ids:
            ids = [self._ask_for_another(needed=2)]
        request_id = ids[number % len(ids)]
        return request_id, self.model[request_id]

    def _open_for(self, job: str) -> list[str]:
        return [
            key for key, entry in self.model.items() if entry.job == job and entry.state in OPEN
        ]

    # People.

    @rule(job=st.sampled_from(JOBS), needed=st.integers(0, 2), seconds=st.integers(1, 60))
    def ask(self, job: str, needed: int, seconds: int) -> None:
        self._ask(job, needed, seconds)

    def _ask_for_another(self, needed: int) -> str:
        """Create a request for a new job, so that there is one to continue."""
        self._ask(f"{len(self.model) + 1000:024x}", needed, 60)
        return next(reversed(self.model))

    def _ask(self, job: str, needed: int, seconds: int) -> None:
        expires_at = self.clock.now + timedelta(seconds=seconds)
        state = State.AWAITING if needed else State.APPROVED
        request = a_request(
            ref=job_ref(job),
            state=state,
            approvals_needed=needed,
            created_at=self.clock.now,
            changed_at=self.clock.now,
            expires_at=expires_at,
        )
        answer = self.do_or_fail(self.store.create(request, RINA))
        if taken := self._open_for(job):
            earlier = self.model[taken[0]]
            if needed or earlier.state not in UNDECIDED:
                assert isinstance(answer, JobAlreadyRequested)
                assert [answer.request.id] == taken
                return
            self._entered(earlier, State.OVER)
        assert (answer.id, answer.state) == (request.id, state)
        self.model[request.id] = ModelRequest(state, job, needed, expires_at, seen=[state])
        again = self.do(self.store.create(request, RINA))
        assert again.id == request.id

    @rule(number=NUMBERS, person=PEOPLE, voids=st.booleans())
    def approve(self, number: int, person: ActingPerson, voids: bool) -> None:
        request_id, entry = self._one(number, State.AWAITING)
        needs = State.QUARANTINED if entry.state is State.QUARANTINED else State.AWAITING

        def check(request: Request) -> AlreadyApproved | None:
            return AlreadyApproved() if person.id in request.approved_by else None

        judge = void_all if voids else keep_all
        answer = self.do_or_fail(self.store.approve(request_id, person, check, judge))
        if entry.state is State.AWAITING and person.id in entry.approved_by:
            assert isinstance(answer, AlreadyApproved)  # rights are checked before the time
            return
        if self._too_late(answer, entry, needs):
            return
        if voids:
            entry.approved_by.clear()
        entry.approved_by.add(person.id)
        done = len(entry.approved_by) >= entry.needed
        self._moved(entry, answer, State.APPROVED if done else needs)

    @rule(number=NUMBERS, denies=st.booleans())
    def deny_or_withdraw(self, number: int, denies: bool) -> None:
        request_id, entry = self._one(number, State.AWAITING)
        if denies:
            act = self.store.decide(request_id, State.DENIED, ADA, _allowed, reason="no")
        else:
            act = self.store.decide(request_id, State.WITHDRAWN, RINA, _allowed)
        answer = self.do_or_fail(act)
        if not self._too_late(answer, entry, State.AWAITING):
            self._moved(entry, answer, State.DENIED if denies else State.WITHDRAWN)

    @rule(number=NUMBERS)
    def retry(self, number: int) -> None:
        request_id, entry = self._one(number, State.FAILED)
        answer = self.do_or_fail(
            self.store.retry(request_id, RINA, _allowed, needed_for=_needed, ttl=RETRY_TTL)
        )
        if entry.state is not State.FAILED:
            assert isinstance(answer, AlreadyHandled)
            return
        if self._open_for(entry.job):
            assert isinstance(answer, JobAlreadyRequested)
            return
        keeps = entry.approved_by and not entry.by_bot and self.clock.now < entry.expires_at
        if not keeps:
            entry.expires_at = self.clock.now + RETRY_TTL
            entry.approved_by = {RINA.id} if entry.by_bot else set()
        waits = len(entry.approved_by) < entry.needed and not entry.by_bot
        self._moved(entry, answer, State.AWAITING if waits else State.APPROVED)

    def _too_late(self, answer: Any, entry: ModelRequest, needs: State) -> bool:
        if entry.state is not needs:
            assert isinstance(answer, AlreadyHandled)
            assert answer.request.state is entry.state
        elif entry.expires_at <= self.clock.now and needs is State.AWAITING:
            assert isinstance(answer, RequestExpired)
        else:
            return False
        return True

    def _moved(self, entry: ModelRequest, answer: Any, state: State) -> None:
        assert not isinstance(answer, Exception), answer
        assert answer.state is state
        self._entered(entry, state)

    def _entered(self, entry: ModelRequest, state: State) -> None:
        if state is not entry.state:
            entry.state = state
            entry.seen.append(state)

    # Quarantine.

    @rule(job=st.sampled_from(JOBS))
    def find_download(self, job: str) -> None:
        taken = [self.model[key] for key in self._open_for(job)]
        if job in self.found or any(each.state is not State.AWAITING for each in taken):
            return
        self.found.add(job)
        self.do(self.quarantine.find(job))
        for each in taken:
            self._entered(each, State.WITHDRAWN)
        (own,) = (row.id for row in self._rows(requests) if row.id not in self.model)
        state = State.QUARANTINED
        self.model[own] = ModelRequest(state, job, 1, self.clock.now, by_bot=True, seen=[state])

    @rule(number=NUMBERS, person=PEOPLE)
    def keep(self, number: int, person: ActingPerson) -> None:
        request_id = self._own(number, State.QUARANTINED)
        if request_id:
            act = self.store.decide(request_id, State.KEPT, person, _allowed, reason="ours")
            answer = self.do_or_fail(act)
            if not self._too_late(answer, self.model[request_id], State.QUARANTINED):
                self._moved(self.model[request_id], answer, State.KEPT)

    @rule(number=NUMBERS, times=st.integers(1, 2))
    def void_keep(self, number: int, times: int) -> None:
        """One replica finds out that the keeper started the download, or two at the same time."""
        request_id = self._own(number, State.KEPT)
        if request_id is None:
            return
        entry, kept = self.model[request_id], self.do(self.quarantine.about(request_id))
        for _ in range(times):
            open_ = [self.model[key] for key in self._open_for(entry.job)]
            answer = self.do_or_fail(self.quarantine.void_keep(kept, WATCHED))
            if any(each.state is not State.AWAITING for each in open_):
                assert answer is False
            elif entry.state is not State.KEPT:
                assert isinstance(answer, AlreadyHandled)
            else:
                assert answer is True
                for each in open_:
                    self._entered(each, State.WITHDRAWN)
                self._entered(entry, State.QUARANTINED)

    @rule()
    def guard_again(self) -> None:
        """A request that replaced one of the bot's own waits again, or ended without a DELETE."""
        for request in self.do(self.quarantine.unguarded()):
            entry = self.model[request.id]
            assert (entry.by_bot, entry.state) == (True, State.OVER)
            self.do(self.quarantine.guard(request))
            open_ = [self.model[key] for key in self._open_for(entry.job)]
            if all(each.state is State.AWAITING for each in open_):
                for each in open_:
                    self._entered(each, State.WITHDRAWN)
                self._entered(entry, State.QUARANTINED)

    @rule(number=NUMBERS, state=st.sampled_from([State.APPROVED, State.OBSERVED, State.KEPT]))
    def end_grace_time(self, number: int, state: State) -> None:
        request_id = self._own(number, State.QUARANTINED)
        if request_id:
            request = self.do(self.store.get(request_id))
            answer = self.do_or_fail(self.quarantine.end(request, lambda _count: Ending(state)))
            if not self._too_late(answer, self.model[request_id], State.QUARANTINED):
                self._moved(self.model[request_id], answer, state)

    @rule(number=NUMBERS)
    def end_grace_time_of_a_replaced_one(self, number: int) -> None:
        """The run that replaced it waits for Slack; one that may have sent a DELETE goes on."""
        request_id = self._own(number, State.OVER)
        if request_id is None or self.model[request_id].state is not State.OVER:
            return
        entry, own = self.model[request_id], self.do(self.store.get(request_id))
        open_ = [self.do(self.store.get(key)) for key in self._open_for(entry.job)]
        answer = self.do_or_fail(self.quarantine.end(own, lambda _count: Ending(State.APPROVED)))
        if not own.was_replaced or not open_ or open_[0].sent.count:
            assert isinstance(answer, AlreadyHandled)
            return
        self._entered(self.model[open_[0].id], State.WITHDRAWN)
        self._entered(entry, State.QUARANTINED)
        self._moved(entry, answer, State.APPROVED)

    def _own(self, number: int, state: State) -> str | None:
        """Pick a request of the bot's own, mostly one in `state`."""
        own = [key for key, entry in self.model.items() if entry.by_bot]
        fitting = [key for key in own if self.model[key].state is state]
        ids = fitting if fitting and number % 4 else own
        return ids[number % len(ids)] if ids else None

    # Time, and the sweeper.

    @rule(seconds=st.sampled_from([0.5, 3.0, Timings.request_lease, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(number=NUMBERS)
    def cancel_elsewhere(self, number: int) -> None:
        """A person cancels the job of a request in Atlas, and the bot reads it."""
        _, entry = self._one(number, State.AWAITING)
        self.cancelled.add(entry.job)
        self.read.add(entry.job)
        read = a_job(id=entry.job, cancelled=True)
        self.do(self.jobs.record(job_ref(entry.job), read))

    @rule()
    def sweep(self) -> None:
        waiting = {k: each for k, each in self.model.items() if each.state in UNDECIDED}
        over = {key for key, entry in waiting.items() if entry.job in self.read}
        asked = {k: each for k, each in waiting.items() if each.state is State.AWAITING}
        late = {key for key, entry in asked.items() if entry.expires_at <= self.clock.now}
        ended = self.do(self.store.end_due())
        assert {request.id for request in ended} == over | late
        for request in ended:
            state = State.OVER if request.id in over else State.EXPIRED
            self._moved(self.model[request.id], request, state)
        free = self.do(self.workers["one"].leases.list_runnable())
        assert set(free) == {key for key, entry in self.model.items() if self._is_free(entry)}

    def _is_free(self, entry: ModelRequest) -> bool:
        ran_out = entry.state is State.CANCELLING and entry.lease_until <= self.clock.now
        return entry.state is State.APPROVED or ran_out

    # Runners.

    @rule(number=NUMBERS, name=RUNNERS)
    def claim(self, number: int, name: str) -> None:
        free = [key for key, each in self.model.items() if self._is_free(each)]
        if free and number % 4:  # mostly what can be claimed, or little would ever run
            self._claim(free[number % len(free)], name)
        elif self.model:
            self._claim(list(self.model)[number % len(self.model)], name)

    def _claim(self, request_id: str, name: str) -> None:
        entry = self.model[request_id]
        worker, is_free = self.workers[name], self._is_free(entry)
        claimed = self.do(worker.leases.claim(request_id))
        assert (claimed is not None) is is_free
        if claimed:
            worker.memory[request_id] = claimed
            entry.owner = worker.leases.owner
            entry.lease_until = self.clock.now + timedelta(seconds=Timings.request_lease)
            self._moved(entry, claimed, State.CANCELLING)

    @rule(name=RUNNERS)
    def renew_all(self, name: str) -> None:
        worker = self.workers[name]
        for request_id in worker.memory:
            entry = self.model[request_id]
            assert self.do(worker.leases.renew(request_id)) is self._has_lease(entry, worker)
            if self._has_lease(entry, worker):
                entry.lease_until = self.clock.now + timedelta(seconds=Timings.request_lease)

    @rule(name=RUNNERS)
    def crash(self, name: str) -> None:
        """The process is killed with its memory, and another starts in its place."""
        self._restart(name)

    @rule(name=RUNNERS)
    def stop(self, name: str) -> None:
        """The process shuts down: its leases are free immediately."""
        worker = self.workers[name]
        for request_id in worker.memory:
            entry = self.model[request_id]
            if self.do(worker.leases.renew(request_id, 0)):
                entry.lease_until = self.clock.now
        self._restart(name)

    @rule(
        number=NUMBERS,
        delay=st.sampled_from([0.0, 0.0, 0.0, Timings.request_lease]),
        reads=st.integers(1, 3),
        result=st.builds(DeleteResult, st.booleans(), st.booleans(), st.booleans()),
    )
    def read_and_act(self, number: int, delay: float, reads: int, result: DeleteResult) -> None:
        """Read the job, and do the next step; its answer may get lost, or the record of it."""
        worker, request_id = self._some_run(number)
        self.clock.advance(delay)
        for _ in range(reads):
            if request_id in worker.memory:
                self._read_and_act(worker, request_id, result)

    def _read_and_act(self, worker: Worker, request_id: str, result: DeleteResult) -> None:
        request, entry = worker.memory[request_id], self.model[request_id]
        job = a_job(id=entry.job, cancelled=entry.job in self.cancelled)
        step = next_step(request.shown, request.sent, job)
        if step is Step.SEND:
            self._send(worker, request, result)
        elif step is not Step.WAIT:
            self._settle(worker, request, State(step.value))

    def _send(self, worker: Worker, request: Request, result: DeleteResult) -> None:
        entry, before = self.model[request.id], request.sent
        may_send = self._has_lease(entry, worker) and entry.lease_until > self.clock.now
        sending = self.do_or_fail(worker.leases.record_delete_sent(request))
        assert isinstance(sending, AlreadyHandled) is not may_send
        if not may_send:
            del worker.memory[request.id]
            return
        if result.has_effect:
            self.cancelled.add(entry.job)
        worker.memory[request.id] = sending
        if not result.is_noted:
            return
        sent = DeleteAttempts(
            count=sending.sent.count,
            accepted=result.has_effect and result.is_answered,
            unknown=before.unknown or not result.is_answered,
        )
        noted = self.do(
            worker.leases.record_delete_answer(sending, sent, {"status": None}, self.clock())
        )
        assert noted.sent == sent
        worker.memory[request.id] = noted

    def _settle(self, worker: Worker, request: Request, state: State) -> None:
        entry = self.model[request.id]
        answer = self.do_or_fail(worker.leases.settle(request, state, Outcome(sentence="so")))
        del worker.memory[request.id]
        if not self._has_lease(entry, worker):
            assert isinstance(answer, AlreadyHandled)
            return
        self._moved(entry, answer, state)

    @rule(number=NUMBERS, state=st.sampled_from([State.FAILED, State.REFUSED, State.CHANGED]))
    def end_without_cancelling(self, number: int, state: State) -> None:
        worker, request_id = self._some_run(number)
        self._settle(worker, worker.memory[request_id], state)

    def _some_run(self, number: int) -> tuple[Worker, str]:
        """Return a process and a request that it runs; if there is none, it claims one."""
        if not self._runs():
            name = "one" if number % 2 else "two"
            free = [key for key, each in self.model.items() if self._is_free(each)]
            self._claim(free[0] if free else self._ask_for_another(needed=0), name)
        pairs = self._runs()
        return pairs[number % len(pairs)]

    def _runs(self) -> list[tuple[Worker, str]]:
        """The requests in the memory of each process, with or without their lease."""
        return [(each, key) for each in self.workers.values() for key in each.memory]

    def _has_lease(self, entry: ModelRequest, worker: Worker) -> bool:
        return entry.state is State.CANCELLING and entry.owner == worker.leases.owner

    # Slack.

    @rule(
        name=RUNNERS,
        limit=st.integers(1, 4),
        ends=st.lists(st.sampled_from(["sent", "again", "lost", "dropped", "moved"]), min_size=4),
    )
    def deliver(self, name: str, limit: int, ends: list[str]) -> None:
        claimed = self.do(self.outbox.claim(name, limit))
        for post, end in zip(claimed, ends, strict=False):
            assert isinstance(post, RequestPost)
            if end == "again":
                self.do(self.outbox.retry_later(post, 1.0, "try later"))
            elif end == "moved":
                self.do(self.outbox.move_card(post, "D0RINA", "not a member"))
            elif end == "sent" or (end == "dropped" and post.kind is PostKind.CARD):
                self.do(self.outbox.mark_sent(post, "C0OPS", f"{post.id}.0"))
            elif end == "dropped":
                self.do(self.outbox.drop(post, "gone"))
            if end in ("sent", "dropped") and not post.is_edit:
                self.model[post.request.id].delivered.append((post.kind, post.id))

    # Invariants after every action.

    @invariant()
    def stored_states_equal_those_of_the_model(self) -> None:
        rows = {row.id: State(row.state) for row in self._rows(requests)}
        assert rows == {key: entry.state for key, entry in self.model.items()}

    @invariant()
    def only_allowed_transitions_were_made(self) -> None:
        for entry in self.model.values():
            for before, after in zip(entry.seen, entry.seen[1:], strict=False):
                assert after in TRANSITIONS[before]

    @invariant()
    def a_job_has_one_open_request_at_most(self) -> None:
        assert all(len(self._open_for(job)) <= 1 for job in JOBS)

    @invariant()
    def cancelled_requests_have_cancelled_jobs(self) -> None:
        for entry in self.model.values():
            assert entry.state is not State.CANCELLED or entry.job in self.cancelled

    @invariant()
    def entered_states_are_recorded_in_order(self) -> None:
        names = {
            str(EventName.entering(state)): state for state in State if state.value != "awaiting"
        }
        recorded: dict[str, list[State]] = {key: [] for key in self.model}
        for row in self._rows(audit_events):
            if row.event in names and row.request in recorded:
                recorded[row.request].append(names[row.event])
        for key, entry in self.model.items():
            seen = entry.seen[1:] if entry.by_bot else entry.seen  # `created` has the first state
            assert recorded[key] == [state for state in seen if state is not State.AWAITING]

    @invariant()
    def card_is_delivered_first_and_posts_of_one_kind_in_order(self) -> None:
        for entry in self.model.values():
            kinds = [kind for kind, _ in entry.delivered]
            assert kinds[:1] in ([], [PostKind.CARD])
            for kind in PostKind:
                numbers = [number for each, number in entry.delivered if each is kind]
                assert numbers == sorted(set(numbers))

    def _rows(self, table: Any) -> list[Any]:
        def work(db: Connection) -> list[Any]:
            return list(db.execute(table.select().order_by(*table.primary_key)).all())

        rows: list[Any] = self.do(self.database.read(work))
        return rows


def _needed(request: Request) -> int:
    return request.approvals_needed


def void_all(request: Request) -> Judgement:
    return replace(keep_all(request), voided=request.approved_by)


def _allowed(_request: Request) -> None:
    """Allow every person."""


@pytest.mark.timeout(480)  # thousands of transactions, which a busy machine takes its time for
def test_random_interleavings_agree_with_the_model(database_url: str) -> None:
    class Machine(LifeCycle):
        def __init__(self) -> None:
            super().__init__(database_url)

    examples = EXAMPLES if database_url.startswith("sqlite") else FEWER_EXAMPLES
    run_state_machine_as_test(Machine, settings=examples)
