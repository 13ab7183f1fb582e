"""A stateful model of downloads and requests: people, deadlines, runs, crashes and take-overs.

The machine plays random acts on the real stores and compares each result with a few lines of its
own bookkeeping. Time is a rule of its own.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from bot.atlas import JobRef, RestoreJob
from bot.cancellation.decisions import AutoCancelStep, Judgement, SubmitResult, judge
from bot.cancellation.errors import CancellationError, NotActive
from bot.cancellation.people import ActingPerson
from bot.cancellation.policy import Policy
from bot.cancellation.request import RUNNING, Attempts, Ending, Request, State
from bot.cancellation.run import Step, next_step
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.download_store import DownloadStore, Listing
from bot.storage.lease import Lease
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from bot.storage.run_store import RunStore
from tests.support.domain import (
    ADA,
    ALAN,
    AUTO_CANCEL,
    EVE,
    GIL,
    PROJECT,
    RINA,
    START,
    job_ref,
    restore_job,
    submission,
)

T = TypeVar("T")
PEOPLE = (RINA, ADA, ALAN, GIL, EVE)
#: Two approvals, so that one approval leaves a request waiting where no time stands.
POLICY = replace(AUTO_CANCEL, approvals=2)
LINK_AFTER = timedelta(minutes=3)
STEPS = st.sampled_from([1, 20, 61, 95, 1801])
JOBS = st.sampled_from([-1, -2])  #: the two newest; the first one ran before the watch


@dataclass
class Job:
    """A download in Atlas, as the model has it."""

    ref: JobRef
    is_new: bool
    flags: dict[str, Any] = field(default_factory=dict)
    deletes: int = 0  #: that Atlas received
    was_let_run: bool = False

    def read(self) -> RestoreJob:
        return restore_job(self.ref, **self.flags)

    @property
    def has_ended(self) -> bool:
        return bool(self.flags.keys() & {"cancelled", "failed"})


class Process:
    """One process of the bot: its lease and its stores."""

    def __init__(self, database: Database, model: "LifeCycle", name: str) -> None:
        self.lease = Lease(database, name)
        stores = (database, model.clock, self.lease)
        self.requests, self.runs = RequestStore(*stores), RunStore(*stores)
        self.downloads, self.outbox = DownloadStore(*stores), OutboxStore(*stores)


class LifeCycle(RuleBasedStateMachine):
    """The machine; a subclass names the database."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = START
        self.policy: Policy = POLICY
        self.model: list[Job] = []
        self.keys = 0
        self.processes = 0
        self.stopped: list[Process] = []
        self.opened: set[State] = set()  #: the states of open requests, after the last step

    def clock(self) -> datetime:
        return self.now

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def open_database(self) -> Database:
        raise NotImplementedError

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.check_events()
            self.run(self.database.close())
        self.runner.close()

    @initialize()
    def start(self) -> None:
        self.database = self.run(self.open_database())
        self.log = AuditLog(self.database, self.clock, None)
        self.take_over()
        self.run(self.process.downloads.start_watch(PROJECT))
        self.now += timedelta(seconds=1)
        for number, started_at in enumerate((START - timedelta(minutes=1), self.now), 1):
            ref = job_ref(started_at, number)
            self.model.append(Job(ref, is_new=ref.started_at > START))
        self.watch_lists()

    def take_over(self) -> None:
        """Let a new process become the active one; the old one still has its stores."""
        self.processes += 1
        self.process = Process(self.database, self, f"process {self.processes}")
        assert self.run(self.process.lease.take())

    # What happens in Atlas.

    @precondition(lambda self: any(job.has_ended for job in self.model[-2:]))
    @rule()
    def another_download_is_started(self) -> None:
        self.now += timedelta(seconds=1)
        self.model.append(Job(job_ref(self.now, len(self.model) + 1), is_new=True))
        self.watch_lists()

    @rule(number=JOBS)
    def link_goes_live(self, number: int) -> None:
        job = self.model[number]
        if not job.has_ended:
            expires = job.ref.started_at + LINK_AFTER + timedelta(hours=1)
            job.flags |= {"deliveryUrl": ["https://link.example/x"], "expiresAt": expires}

    @rule(number=JOBS, flag=st.sampled_from(["cancelled", "failed"]), chance=st.integers(0, 9))
    def download_ends(self, number: int, flag: str, chance: int) -> None:
        if chance == 0:
            self.model[number].flags |= {flag: True}

    # What the bot does by itself.

    @rule()
    def watch_lists(self) -> None:
        listed = [job.read() for job in reversed(self.model)]
        listing = Listing(project_id=PROJECT, cluster="prod-eu", jobs=listed, read_at=self.now)
        self.run(self.process.downloads.record_listing(listing, self.policy))

    @rule(seconds=STEPS)
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def deadlines_act(self) -> None:
        stores = self.process.requests
        for download in self.run(self.process.downloads.due_to_auto_cancel()):
            step = self.run(stores.auto_cancel(download.ref, self.policy, feed_is_fresh=False))
            assert step is not AutoCancelStep.LET_RUN
        due = self.run(stores.due())
        for request in due.ended:
            self.run(stores.end_with_download(request.id, self.policy))
        for request in due.expiring:
            self.run(stores.expire(request.id, self.policy))
        for request in due.to_remind:
            self.run(stores.remind(request.id, self.policy))

    @precondition(lambda self: self.opened or not self.stopped)
    @rule()
    def process_is_replaced(self) -> None:
        self.run(self.process.lease.release())
        self.stopped.append(self.process)
        self.take_over()

    @precondition(lambda self: self.stopped and not self.opened)
    @rule(number=JOBS)
    def stopped_process_continues_and_changes_nothing(self, number: int) -> None:
        job = self.model[number]
        old = self.stopped[-1]
        listing = Listing(
            project_id=PROJECT, cluster="prod-eu", jobs=[job.read()], read_at=self.now
        )
        for write in (
            old.downloads.record_listing(listing, self.policy),
            old.requests.auto_cancel(job.ref, self.policy, feed_is_fresh=False),
        ):
            try:
                self.run(write)
            except NotActive:
                continue
            raise AssertionError("a process without the lease wrote")

    # What people do.

    @precondition(lambda self: not self.opened & RUNNING)
    @rule(number=JOBS, person=st.sampled_from(PEOPLE), alone=st.booleans(), again=st.booleans())
    def person_submits(self, number: int, person: ActingPerson, alone: bool, again: bool) -> None:
        job = self.model[number]
        self.keys += not again
        asked = submission(
            f"{person.id} {job.ref.job_id} {self.keys}",
            ref=job.ref,
            job=job.read(),
            read_at=self.now,
            alone=alone,
        )
        before = self.open_request(job)
        with suppress(CancellationError):
            done = self.run(self.process.requests.submit(person, self.policy, asked))
            assert person is not EVE
            assert done.result is not SubmitResult.ACTED_ALONE or (alone and person is GIL)
            if done.result is SubmitResult.JOINED:
                assert before is not None
                assert self.open_request(job) == before

    @precondition(lambda self: State.AWAITING in self.opened)
    @rule(number=JOBS, person=st.sampled_from(PEOPLE))
    def person_approves(self, number: int, person: ActingPerson) -> None:
        job = self.model[number]
        request = self.open_request(job)
        if request is None:
            return
        with suppress(CancellationError):
            after = self.run(self.process.requests.approve(request.id, person, self.policy))
            assert person in {ADA, ALAN}
            assert person.id != request.requester
            assert after.state in {State.AWAITING, State.APPROVED}

    @rule(number=JOBS, person=st.sampled_from(PEOPLE))
    def person_lets_run(self, number: int, person: ActingPerson) -> None:
        job = self.model[number]
        request = self.open_request(job)
        with suppress(CancellationError):
            decision = self.run(
                self.process.requests.let_run(
                    job.ref,
                    request.id if request else None,
                    person,
                    self.policy,
                    reason="test",
                    feed_is_readable=True,
                )
            )
            assert person in {ADA, ALAN} or (request and request.requester == person.id)
            job.was_let_run |= decision.ends_auto_cancel

    # What a run does, each step of it, with what may go wrong between two steps.

    @precondition(lambda self: self.opened & RUNNING)
    @rule(number=JOBS, answer=st.sampled_from(["accepted", "lost", "lost but done", "not sent"]))
    def run_takes_one_turn(self, number: int, answer: str) -> None:
        job = self.model[number]
        request = self.open_request(job)
        if request is None or request.state is State.AWAITING:
            return
        runs = self.process.runs
        running = self.run(runs.begin(request.id))
        read = job.read()
        step = next_step(running, read)
        if step.ending:
            self.run(runs.settle(running, step.ending, self.policy))
        elif step.step is Step.SEND:
            download = self.run(runs.download_of(running))
            judgement = judge(self.policy, download, running, {p.id: p for p in PEOPLE})
            if judgement.allows_delete:
                self.send(job, running, answer)
            else:
                self.stop_run(running, judgement)

    def send(self, job: Job, running: Request, answer: str) -> None:
        runs, before = self.process.runs, running.attempts.is_unknown
        sent = self.run(runs.record_sent(running))
        if answer == "not sent":  # the process was killed between the record and the DELETE
            return
        job.deletes += 1
        assert not job.was_let_run or not sent.is_automatic
        if answer != "lost" and not job.has_ended:
            job.flags |= {"cancelled": True}
        if answer == "accepted":
            attempts = Attempts(count=sent.attempts.count, is_accepted=True, is_unknown=before)
            self.run(runs.record_answer(sent, attempts, {"status": 204, "code": None}))

    def stop_run(self, running: Request, judgement: Judgement) -> None:
        if judgement.has_lost_right:
            self.run(self.process.runs.settle(running, Ending(State.WITHDRAWN), self.policy))
        else:
            self.run(self.process.runs.await_again(running, judgement, self.policy))

    # What always holds.

    def open_request(self, job: Job) -> Request | None:
        opened = [request for request in self.requests_about(job) if request.is_open]
        assert len(opened) <= 1
        return next(iter(opened), None)

    def check_events(self) -> None:
        """Check the chain, and that each state follows from its events."""
        assert self.run(self.log.verify()).broken is None
        states: dict[str, str] = {}
        for _, line in self.run(self.log.page(0, None, None)):
            name = line["event"].removeprefix("request:")
            if line["event"] == "request:created":
                states[line["request"]] = line["state"]
            elif line["event"].startswith("request:") and name in set(State):
                states[line["request"]] = name
        stored = [request for job in self.model for request in self.requests_about(job)]
        assert states == {request.id: str(request.state) for request in stored}

    def requests_about(self, job: Job) -> list[Request]:
        found = self.process.requests.of_download(job.ref.project_id, job.ref.job_id)
        return list(self.run(found))

    @invariant()
    def at_most_one_request_of_a_download_is_open(self) -> None:
        opened = [self.open_request(job) for job in self.model[-2:]]
        self.opened = {request.state for request in opened if request}

    @invariant()
    def cancelled_is_said_only_of_a_download_that_atlas_reads_as_cancelled(self) -> None:
        for job in self.model[-2:]:
            for request in self.requests_about(job):
                if request.state is State.CANCELLED:
                    assert job.flags.get("cancelled")
                    assert request.attempts.count > 0

    @invariant()
    def only_new_downloads_have_a_time_and_nothing_moves_it(self) -> None:
        for job in self.model[-2:]:
            download = self.run(self.process.downloads.get(job.ref.project_id, job.ref.job_id))
            if download and download.auto_cancel_at:
                assert job.is_new
                assert download.auto_cancel_at == download.stored_at + timedelta(seconds=90)

    @invariant()
    def message_of_each_placed_download_is_wanted(self) -> None:
        if hasattr(self, "database"):
            for delivery in self.run(self.process.outbox.due(50)):
                assert delivery.wanted_version > 0
                assert delivery.download.channel == "C0OPS"
