"""The life cycle against a model: random acts, crashes and interleavings on the real ledger.

The model knows what Atlas has, who holds what until when, and what each request may become. Every
act is made on the ledger; what it answers must be what the model says, and after each the whole
ledger is looked at.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

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
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import (
    OPEN,
    DeleteAttempts,
    Outcome,
    Request,
    State,
    Step,
    next_step,
)
from bot.cancellation.people import Person
from bot.cancellation.posts import PostKind, RequestPost
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.lease_store import LeaseStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from bot.storage.tables import approvals, audit_events, chain_head, posts, requests
from bot.timings import Timings
from tests.support.domain import ABE, ADA, NOON, RINA, Clock, a_job, a_request, job_ref, keep_all

#: Enough to find an order that breaks a rule; a campaign may take more.
EXAMPLES = settings(max_examples=20, stateful_step_count=40, deadline=None)

#: PostgreSQL answers more slowly, and runs the same statements.
FEWER_EXAMPLES = settings(EXAMPLES, max_examples=6)

#: The allowed transitions. A person may retry a failed request; a run whose policy no longer holds
#: returns its request to the approvers.
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.AWAITING: frozenset({State.APPROVED, State.DENIED, State.EXPIRED, State.WITHDRAWN}),
    State.QUARANTINED: frozenset({State.APPROVED, State.KEPT, State.OBSERVED, State.OVER}),
    State.APPROVED: frozenset({State.CANCELLING}),
    State.CANCELLING: frozenset(
        {State.CANCELLED, State.OVER, State.REFUSED, State.CHANGED, State.FAILED}
        | {State.AWAITING, State.QUARANTINED, State.KEPT, State.OBSERVED}
    ),
    State.FAILED: frozenset({State.APPROVED, State.AWAITING}),
}

JOBS = [f"{number:024x}" for number in range(1, 13)]
PEOPLE = st.sampled_from([ADA, ABE])
RUNNERS = st.sampled_from(["one", "two"])
RETRY_TTL = timedelta(seconds=30)
NUMBERS = st.integers(min_value=0, max_value=30)


@dataclass(slots=True)
class Held:
    """What the model knows of one request."""

    state: State
    job: str
    needed: int
    expires_at: datetime
    approved_by: set[str] = field(default_factory=set)
    owner: str = ""
    lease_until: datetime = NOON
    seen: list[State] = field(default_factory=list)
    delivered: list[tuple[PostKind, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one DELETE."""

    has_effect: bool
    is_answered: bool
    is_noted: bool


@dataclass(slots=True)
class Worker:
    """A process: its name in the ledger, and what it has in its memory."""

    leases: LeaseStore
    memory: dict[str, Request] = field(default_factory=dict)


class LifeCycle(RuleBasedStateMachine):
    """What people, runners, the clock and Slack may do, in any order."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self.clock = Clock()
        self.database = Database(url, timeout=20)
        self.ledger = RequestStore(self.database, self.clock)
        self.outbox = OutboxStore(self.database, self.clock)
        self.held: dict[str, Held] = {}
        self.cancelled: set[str] = set()  # the jobs that Atlas shows as cancelled
        self.lives = 0
        self.workers: dict[str, Worker] = {}

    def teardown(self) -> None:
        self.do(self.database.close())
        self._runner.close()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def tries(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do it, and give what it returns or the error that it raises."""
        try:
            return self.do(work)
        except CancellationError as error:
            return error

    @initialize()
    def empty(self) -> None:
        def clear(db: Connection) -> None:
            for table in (approvals, posts, audit_events, requests):
                db.execute(table.delete())
            db.execute(chain_head.update().values(reference=""))

        self.do(self.database.write(clear))
        for name in ("one", "two"):
            self._new_life(name)

    def _new_life(self, name: str) -> None:
        self.lives += 1
        leases = LeaseStore(self.database, self.clock, f"{name}-{self.lives}")
        self.workers[name] = Worker(leases)

    def _one(self, number: int, state: State) -> tuple[str, Held]:
        """Pick a request: mostly one in `state`, or little that is allowed would ever happen."""
        fitting = [key for key, held in self.held.items() if held.state is state]
        ids = fitting if fitting and number % 4 else list(self.held)
        if not ids:
            ids = [self._ask_for_another(needed=2)]
        request_id = ids[number % len(ids)]
        return request_id, self.held[request_id]

    def _open_for(self, job: str) -> list[str]:
        return [key for key, held in self.held.items() if held.job == job and held.state in OPEN]

    # People.

    @rule(job=st.sampled_from(JOBS), needed=st.integers(0, 2), seconds=st.integers(1, 60))
    def ask(self, job: str, needed: int, seconds: int) -> None:
        self._ask(job, needed, seconds)

    def _ask_for_another(self, needed: int) -> str:
        """Ask for a job that nobody has asked for, so that something can go on."""
        self._ask(f"{len(self.held) + 1000:024x}", needed, 60)
        return next(reversed(self.held))

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
        answer = self.tries(self.ledger.create(request, RINA))
        if taken := self._open_for(job):
            assert isinstance(answer, JobAlreadyRequested)
            assert [answer.request.id] == taken
            return
        assert (answer.id, answer.state) == (request.id, state)
        self.held[request.id] = Held(state, job, needed, expires_at, seen=[state])
        again = self.do(self.ledger.create(request, RINA))
        assert again.id == request.id

    @rule(number=NUMBERS, person=PEOPLE, voids=st.booleans())
    def approve(self, number: int, person: Person, voids: bool) -> None:
        request_id, held = self._one(number, State.AWAITING)

        def check(request: Request) -> AlreadyApproved | None:
            return AlreadyApproved() if person.id in request.approved_by else None

        judge = void_all if voids else keep_all
        answer = self.tries(self.ledger.approve(request_id, person, check, judge))
        if held.state is State.AWAITING and person.id in held.approved_by:
            assert isinstance(answer, AlreadyApproved)  # rights are checked before the time
            return
        if self._too_late(answer, held, State.AWAITING):
            return
        if voids:
            held.approved_by.clear()
        held.approved_by.add(person.id)
        done = len(held.approved_by) >= held.needed
        self._moved(held, answer, State.APPROVED if done else State.AWAITING)

    @rule(number=NUMBERS, denies=st.booleans())
    def deny_or_withdraw(self, number: int, denies: bool) -> None:
        request_id, held = self._one(number, State.AWAITING)
        if denies:
            act = self.ledger.decide(request_id, State.DENIED, ADA, _allowed, reason="no")
        else:
            act = self.ledger.decide(request_id, State.WITHDRAWN, RINA, _allowed)
        answer = self.tries(act)
        if not self._too_late(answer, held, State.AWAITING):
            self._moved(held, answer, State.DENIED if denies else State.WITHDRAWN)

    @rule(number=NUMBERS)
    def retry(self, number: int) -> None:
        request_id, held = self._one(number, State.FAILED)
        answer = self.tries(
            self.ledger.retry(request_id, RINA, _allowed, needed_for=_needed, ttl=RETRY_TTL)
        )
        if held.state is not State.FAILED:
            assert isinstance(answer, AlreadyHandled)
            return
        if self._open_for(held.job):
            assert isinstance(answer, JobAlreadyRequested)
            return
        held.expires_at, held.approved_by = self.clock.now + RETRY_TTL, set()
        self._moved(held, answer, State.AWAITING if held.needed else State.APPROVED)

    def _too_late(self, answer: Any, held: Held, needs: State) -> bool:
        if held.state is not needs:
            assert isinstance(answer, AlreadyHandled)
            assert answer.request.state is held.state
        elif held.expires_at <= self.clock.now:
            assert isinstance(answer, RequestExpired)
        else:
            return False
        return True

    def _moved(self, held: Held, answer: Any, state: State) -> None:
        assert not isinstance(answer, Exception), answer
        assert answer.state is state
        if state is not held.state:
            held.state = state
            held.seen.append(state)

    @rule()
    def prune(self) -> None:
        pruned = self.do(self.ledger.prune(self.clock.now, limit=2))
        left = {row.id for row in self._rows(requests)}
        gone = self.held.keys() - left
        assert len(gone) == pruned
        for request_id in gone:
            assert self.held.pop(request_id).state.ended
            for worker in self.workers.values():
                worker.memory.pop(request_id, None)

    # Time, and the sweeper.

    @rule(seconds=st.sampled_from([0.5, 3.0, Timings.request_lease, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.forward(seconds)

    @rule()
    def sweep(self) -> None:
        due = {
            key
            for key, held in self.held.items()
            if held.state is State.AWAITING and held.expires_at <= self.clock.now
        }
        expired = self.do(self.ledger.expire_due())
        assert {request.id for request in expired} == due
        for request in expired:
            self._moved(self.held[request.id], request, State.EXPIRED)
        free = self.do(self.workers["one"].leases.list_runnable())
        assert set(free) == {key for key, held in self.held.items() if self._is_free(held)}

    def _is_free(self, held: Held) -> bool:
        ran_out = held.state is State.CANCELLING and held.lease_until <= self.clock.now
        return held.state is State.APPROVED or ran_out

    # Runners.

    @rule(number=NUMBERS, name=RUNNERS)
    def claim(self, number: int, name: str) -> None:
        free = [key for key, each in self.held.items() if self._is_free(each)]
        if free and number % 4:  # mostly what can be claimed, or little would ever run
            self._claim(free[number % len(free)], name)
        elif self.held:
            self._claim(list(self.held)[number % len(self.held)], name)

    def _claim(self, request_id: str, name: str) -> None:
        held = self.held[request_id]
        worker, is_free = self.workers[name], self._is_free(held)
        claimed = self.do(worker.leases.claim(request_id))
        assert (claimed is not None) is is_free
        if claimed:
            worker.memory[request_id] = claimed
            held.owner = worker.leases.owner
            held.lease_until = self.clock.now + timedelta(seconds=Timings.request_lease)
            self._moved(held, claimed, State.CANCELLING)

    @rule(name=RUNNERS)
    def renew_all(self, name: str) -> None:
        worker = self.workers[name]
        for request_id in worker.memory:
            held = self.held[request_id]
            assert self.do(worker.leases.renew(request_id)) is self._is_held(held, worker)
            if self._is_held(held, worker):
                held.lease_until = self.clock.now + timedelta(seconds=Timings.request_lease)

    @rule(name=RUNNERS)
    def crash(self, name: str) -> None:
        """The process is lost with all it knew, and another starts in its place."""
        self._new_life(name)

    @rule(name=RUNNERS)
    def stop(self, name: str) -> None:
        """The process ends in good order: what it held is free at once."""
        worker = self.workers[name]
        for request_id in worker.memory:
            held = self.held[request_id]
            if self.do(worker.leases.release(request_id)):
                held.lease_until = self.clock.now
        self._new_life(name)

    @rule(
        number=NUMBERS,
        stalls=st.sampled_from([0.0, 0.0, 0.0, Timings.request_lease]),
        looks=st.integers(1, 3),
        fate=st.builds(Fate, st.booleans(), st.booleans(), st.booleans()),
    )
    def look_and_act(self, number: int, stalls: float, looks: int, fate: Fate) -> None:
        """Look at the job, and do the next step; its answer may get lost, or the note of it."""
        worker, request_id = self._at_something(number)
        self.clock.forward(stalls)
        for _ in range(looks):
            if request_id in worker.memory:
                self._look(worker, request_id, fate)

    def _look(self, worker: Worker, request_id: str, fate: Fate) -> None:
        request, held = worker.memory[request_id], self.held[request_id]
        job = a_job(id=held.job, cancelled=held.job in self.cancelled)
        step = next_step(request.shown, request.sent, job)
        if step is Step.SEND:
            self._send(worker, request, fate)
        elif step is not Step.WAIT:
            self._settle(worker, request, State(step.value))

    def _send(self, worker: Worker, request: Request, fate: Fate) -> None:
        held, before = self.held[request.id], request.sent
        may_send = self._is_held(held, worker) and held.lease_until > self.clock.now
        sending = self.tries(worker.leases.record_delete_sent(request))
        assert isinstance(sending, AlreadyHandled) is not may_send
        if not may_send:
            del worker.memory[request.id]
            return
        if fate.has_effect:
            self.cancelled.add(held.job)
        worker.memory[request.id] = sending
        if not fate.is_noted:
            return
        sent = DeleteAttempts(
            count=sending.sent.count,
            accepted=fate.has_effect and fate.is_answered,
            unknown=before.unknown or not fate.is_answered,
        )
        noted = self.do(worker.leases.record_delete_answer(sending, sent, {"status": None}))
        assert noted.sent == sent
        worker.memory[request.id] = noted

    def _settle(self, worker: Worker, request: Request, state: State) -> None:
        held = self.held[request.id]
        answer = self.tries(worker.leases.settle(request, state, Outcome(sentence="so")))
        del worker.memory[request.id]
        if not self._is_held(held, worker):
            assert isinstance(answer, AlreadyHandled)
            return
        self._moved(held, answer, state)

    @rule(number=NUMBERS, state=st.sampled_from([State.FAILED, State.REFUSED, State.CHANGED]))
    def give_up(self, number: int, state: State) -> None:
        worker, request_id = self._at_something(number)
        self._settle(worker, worker.memory[request_id], state)

    def _at_something(self, number: int) -> tuple[Worker, str]:
        """A process and what it is at; it begins with something where nothing is under way."""
        if not self._under_way():
            name = "one" if number % 2 else "two"
            free = [key for key, each in self.held.items() if self._is_free(each)]
            self._claim(free[0] if free else self._ask_for_another(needed=0), name)
        pairs = self._under_way()
        return pairs[number % len(pairs)]

    def _under_way(self) -> list[tuple[Worker, str]]:
        """What each process believes that it is at, whether or not it still holds it."""
        return [(each, key) for each in self.workers.values() for key in each.memory]

    def _is_held(self, held: Held, worker: Worker) -> bool:
        return held.state is State.CANCELLING and held.owner == worker.leases.owner

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
            if end in ("sent", "dropped"):
                self.held[post.request.id].delivered.append((post.kind, post.id))

    # What must hold after every act.

    @invariant()
    def the_ledger_says_what_the_model_says(self) -> None:
        rows = {row.id: State(row.state) for row in self._rows(requests)}
        assert rows == {key: held.state for key, held in self.held.items()}

    @invariant()
    def only_allowed_transitions_were_made(self) -> None:
        for held in self.held.values():
            for before, after in zip(held.seen, held.seen[1:], strict=False):
                assert after in TRANSITIONS[before]

    @invariant()
    def a_job_has_one_open_request_at_most(self) -> None:
        assert all(len(self._open_for(job)) <= 1 for job in JOBS)

    @invariant()
    def nothing_is_called_cancelled_that_atlas_does_not_show_so(self) -> None:
        for held in self.held.values():
            assert held.state is not State.CANCELLED or held.job in self.cancelled

    @invariant()
    def every_state_that_was_entered_is_on_record_in_its_order(self) -> None:
        names = {
            str(EventName.entering(state)): state for state in State if state.value != "awaiting"
        }
        recorded: dict[str, list[State]] = {key: [] for key in self.held}
        for row in self._rows(audit_events):
            if row.event in names and row.request in recorded:
                recorded[row.request].append(names[row.event])
        for key, held in self.held.items():
            assert recorded[key] == [state for state in held.seen if state is not State.AWAITING]
        assert self.do(AuditLog(self.database).verify()) == []

    @invariant()
    def the_card_came_first_and_nothing_overtook_its_own_kind(self) -> None:
        for held in self.held.values():
            kinds = [kind for kind, _ in held.delivered]
            assert kinds[:1] in ([], [PostKind.CARD])
            for kind in PostKind:
                numbers = [number for each, number in held.delivered if each is kind]
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
    """Let anybody."""


def test_random_interleavings_agree_with_the_model(database_url: str) -> None:
    class Here(LifeCycle):
        def __init__(self) -> None:
            super().__init__(database_url)

    examples = EXAMPLES if database_url.startswith("sqlite") else FEWER_EXAMPLES
    run_state_machine_as_test(Here, settings=examples)
