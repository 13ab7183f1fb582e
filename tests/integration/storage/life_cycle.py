"""A stateful model of downloads and requests: people, deadlines, runs, crashes and take-overs.

Each step draws one act among those that have a point now; time is one of them. The act is done on
the real stores, and its result is compared with that of `Expected`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeAlias, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bot.cancellation.decisions import Judgement, judge, people_to_judge
from bot.cancellation.errors import CancellationError, NotActive, StorageError
from bot.cancellation.request import RUNNING, Attempts, Ending, Request, State
from bot.cancellation.run import Step, next_step
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.download_store import DownloadStore, Listing
from bot.storage.lease import Lease
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from bot.storage.run_store import RunStore
from tests.integration.storage.expected import AFTER, PEOPLE, POLICIES, Expected, OpenRequest
from tests.support.domain import PROJECT, RINA, START, job_ref, submission

T = TypeVar("T")
Draw: TypeAlias = Callable[..., Any]
#: Most steps are about a request that waits while its download has an auto-cancel time.
FIRST_POLICIES = ("two approvals", "two approvals", "one approval", "no approval", "no auto-cancel")
NEXT_POLICIES = (*FIRST_POLICIES, *POLICIES, "Ada left", "Ada left", "Rina left")
WHO_SUBMITS = (RINA, RINA, *PEOPLE)
#: Of a DELETE; a proxy accepts what Atlas never gets; the last one: the process was killed between
#: its record and the DELETE.
ANSWERS = ("accepted", "accepted", "accepted by a proxy", "lost", "lost but done", "not sent")


class Process:
    """One process of the bot: its lease and its stores."""

    def __init__(self, database: Database, now: Callable[[], datetime], name: str) -> None:
        self.lease = Lease(database, name)
        stores = (database, now, self.lease)
        self.requests, self.runs = RequestStore(*stores), RunStore(*stores)
        self.downloads, self.outbox = DownloadStore(*stores), OutboxStore(*stores)


class LifeCycle(RuleBasedStateMachine):
    """The machine; a subclass names the database."""

    #: The acts of each run so far, to count those that differ.
    different: ClassVar[set[tuple[str, ...]]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = START
        self.jobs: list[Expected] = []
        self.processes: list[Process] = []
        self.acts: list[str] = []

    async def open_database(self) -> Database:
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def result(self, work: Coroutine[Any, Any, T]) -> T | str:
        """Return what work returns, or the name of the refusal; a failed store is no refusal."""
        try:
            return self.run(work)
        except StorageError:
            raise
        except CancellationError as error:
            return type(error).__name__

    def teardown(self) -> None:
        self.different.add(tuple(self.acts))
        if hasattr(self, "database"):
            self.check_events()
            self.run(self.database.close())
        self.runner.close()

    @property
    def process(self) -> Process:
        return self.processes[-1]

    @property
    def job(self) -> Expected:
        """The newest download."""
        return self.jobs[-1]

    @initialize(
        policy=st.sampled_from(FIRST_POLICIES), is_old=st.sampled_from([False, False, False, True])
    )
    def start(self, policy: str, is_old: bool) -> None:
        self.database = self.run(self.open_database())
        self.log = AuditLog(self.database, lambda: self.now, None)
        self.take_over()
        self.run(self.process.downloads.start_watch(PROJECT, self.now))
        self.now += timedelta(seconds=1)
        self.jobs.append(Expected(job_ref(START - AFTER if is_old else self.now, 1), policy))
        self.watch_reads()

    def take_over(self) -> None:
        """Let a new process become the active one; the old one still has its stores."""
        name = f"process {len(self.processes)}"
        self.processes.append(Process(self.database, lambda: self.now, name))
        # A release ends at whole milliseconds, which may be after this moment.
        assert any(self.run(self.process.lease.take()) for _ in range(20))

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """Do one act. A rule for each would let Hypothesis leave half of them out of each run."""
        acts = [name for name, weight in self.weights().items() for _ in range(weight)]
        self.acts.append(data.draw(st.sampled_from(acts), label="act"))
        act: Callable[[Draw], None] = getattr(self, self.acts[-1])
        act(lambda values: data.draw(st.sampled_from(list(values))))

    def weights(self) -> dict[str, int]:
        """Return how often each act comes; one that changes nothing now comes seldom, or never."""
        job, opened, turn = self.job, self.job.opened, len(self.acts) % 4
        is_waiting = opened is not None and opened.is_waiting
        is_running = opened is not None and not is_waiting
        return {
            "time_passes": 4 if is_waiting else 1,
            "person_submits": 1 if opened or job.has_ended else 4,
            "run_takes_a_turn": 3 * is_running,
            "person_approves": 2 * is_waiting,
            "person_lets_run": int(is_waiting or job.time is not None or turn == 0),
            "person_submits_again": int(bool(job.submits) and turn == 0),
            "process_is_replaced": int(turn == 1 or is_running),
            "old_process_writes": int(len(self.processes) > 1 and turn == 2),
            "watch_reads": int(job.has_ended != job.bot_saw_end or turn == 3),
            "link_goes_live": int(not job.has_ended and turn == 3),
            "download_ends": int(not job.has_ended and turn == 0),
            "download_starts": 3 * (job.has_ended and opened is None),
        }

    # What happens in Atlas, and what the bot does by itself.

    def download_starts(self, _draw: Draw) -> None:
        self.now += timedelta(seconds=1)
        ref = job_ref(self.now, len(self.jobs) + 1)
        self.jobs.append(Expected(ref, self.job.policy_name))
        self.watch_reads()

    def link_goes_live(self, _draw: Draw) -> None:
        expires = self.job.ref.started_at + timedelta(minutes=63)
        self.job.flags |= {"deliveryUrl": ["https://link.example/x"], "expiresAt": expires}

    def download_ends(self, draw: Draw) -> None:
        self.job.flags |= {draw(("cancelled", "failed")): True}

    def listing(self) -> Listing:
        jobs = [job.read() for job in reversed(self.jobs)]
        return Listing(project_id=PROJECT, cluster="prod-eu", jobs=jobs, read_at=self.now)

    def watch_reads(self, _draw: Draw | None = None) -> None:
        self.run(self.process.downloads.record_listing(self.listing(), self.job.policy))
        self.job.listed(self.now)

    def time_passes(self, draw: Draw) -> None:
        """Let time pass; the deadlines act each second, unless the bot is down."""
        self.now += timedelta(seconds=draw([90, 20, 61, 1800, 1]))
        if not draw((False, False, True)):
            self.deadlines_act()

    def deadlines_act(self) -> None:
        stores, policy = self.process.requests, self.job.policy
        due = self.run(stores.due())
        for request in due.ended:
            self.run(stores.end_with_download(request.id, policy))
        for request in due.expiring:
            self.run(stores.expire(request.id, policy))
        for request in due.to_remind:
            self.run(stores.remind(request.id, policy))
        for download in self.run(self.process.downloads.due_to_auto_cancel()):
            self.run(stores.auto_cancel(download.ref, policy))
        self.job.deadlines(self.now)

    def process_is_replaced(self, draw: Draw) -> None:
        """A process is killed, and another one starts with other settings."""
        self.run(self.process.lease.release())
        self.take_over()
        self.job.replaced(draw(NEXT_POLICIES), self.now)
        for request in self.run(self.process.requests.open_in(*State)):
            self.run(self.process.requests.apply_policy(request.id, self.job.policy))

    def old_process_writes(self, _draw: Draw) -> None:
        old, policy = self.processes[-2], self.job.policy
        for write in (
            old.downloads.record_listing(self.listing(), policy),
            old.requests.auto_cancel(self.job.ref, policy),
        ):
            try:
                self.run(write)
            except NotActive:
                continue
            raise AssertionError("a process without the lease wrote")

    # What people do.

    def submit(self, key: str, person: Any, *, alone: bool) -> Coroutine[Any, Any, Any]:
        job = self.job
        asked = submission(key, ref=job.ref, job=job.read(), read_at=self.now, alone=alone)
        return self.process.requests.submit(person, job.policy, asked)

    def person_submits(self, draw: Draw) -> None:
        person, alone, key = draw(WHO_SUBMITS), draw((False, False, True)), f"V{len(self.acts)}"
        done = self.result(self.submit(key, person, alone=alone))
        expected = self.job.submit(person, key, self.now, alone=alone)
        assert (done if isinstance(done, str) else str(done.result)) == expected

    def person_submits_again(self, draw: Draw) -> None:
        """Slack may deliver a submit twice."""
        key = draw(self.job.submits)
        person, alone = self.job.submits[key]
        self.run(self.submit(key, person, alone=alone))
        self.job.submit_again()

    def person_approves(self, draw: Draw) -> None:
        person, request = draw(PEOPLE), self.open_request()
        assert request
        done = self.result(self.process.requests.approve(request.id, person, self.job.policy))
        state = done if isinstance(done, str) else str(done.state)
        assert state == self.job.approve(person, self.now)

    def person_lets_run(self, draw: Draw) -> None:
        person, request, job = draw(PEOPLE), self.open_request(), self.job
        work = self.process.requests.let_run(
            job.ref,
            request.id if request else None,
            person,
            job.policy,
            reason="test",
            feed_is_readable=True,
        )
        done = self.result(work)
        assert (done if isinstance(done, str) else str(done.result)) == job.let_run(person)

    # What a run does, each step of it, with what may go wrong between two steps.

    def run_takes_a_turn(self, draw: Draw) -> None:
        runs, job, opened = self.process.runs, self.job, self.job.opened
        assert opened
        (request,) = self.run(runs.running())
        running = self.run(runs.begin(request.id))
        opened.state = State.CANCELLING
        step = next_step(running, job.read(), self.now)
        if step.ending:
            assert job.has_ended
            self.run(runs.settle(running, step.ending, job.policy))
            job.end(job.end_of_download(opened))
        elif opened.accepted_within_a_minute(self.now):
            assert step.step is Step.READ
        else:
            assert step.step is Step.SEND
            people = {item.id: item for item in PEOPLE if item.id in people_to_judge(running)}
            judgement = judge(job.policy, self.run(runs.download_of(running)), running, people)
            assert judgement.allows_delete == job.may_delete(opened)
            if judgement.allows_delete:
                self.send(running, opened, draw(ANSWERS))
            else:
                self.stop_run(running, opened, judgement)

    def send(self, running: Request, opened: OpenRequest, answer: str) -> None:
        runs, before = self.process.runs, running.attempts.is_unknown
        opened.deletes += 1
        sent = self.run(runs.record_sent(running))
        if answer in {"accepted", "lost but done"}:
            self.job.flags |= {"cancelled": True}
        if answer.startswith("accepted"):
            opened.accepted_at = self.now
            attempts = Attempts(count=sent.attempts.count, accepted_at=self.now, is_unknown=before)
            self.run(runs.record_answer(sent, attempts, {"status": 204, "code": None}))

    def stop_run(self, running: Request, opened: OpenRequest, judgement: Judgement) -> None:
        runs, job = self.process.runs, self.job
        assert judgement.has_lost_right is not job.may_ask(str(opened.requester))
        if judgement.has_lost_right:
            self.run(runs.settle(running, Ending(State.WITHDRAWN), job.policy))
            job.end(State.WITHDRAWN)
        else:
            self.run(runs.await_again(running, judgement, job.policy))
            job.await_again(opened, self.now)

    # What always holds.

    def requests(self, job: Expected) -> list[Request]:
        of = self.process.requests.of_download(job.ref.project_id, job.ref.job_id)
        return list(self.run(of))

    def open_request(self) -> Request | None:
        opened = [request for request in self.requests(self.job) if request.is_open]
        assert len(opened) <= 1
        return next(iter(opened), None)

    @invariant()
    def requests_are_as_expected(self) -> None:
        found = self.requests(self.job)
        assert sorted(item.state for item in found if not item.is_open) == sorted(self.job.ends)
        request, expected = self.open_request(), self.job.opened
        assert (request is None) == (expected is None)
        if request and expected:
            assert request.state is expected.state
            assert request.requester == expected.requester
            assert set(request.approved_by) == expected.approved
            assert request.is_automatic == expected.is_automatic
            assert (request.alone is not None) == expected.is_alone
            assert request.expires_at == expected.expires_at
            assert request.attempts.count == expected.deletes

    @invariant()
    def auto_cancel_time_is_as_expected(self) -> None:
        ref = self.job.ref
        download = self.run(self.process.downloads.get(ref.project_id, ref.job_id))
        assert download
        assert download.auto_cancel(self.job.policy) == self.job.time

    @invariant()
    def message_of_each_download_is_wanted_in_its_channel(self) -> None:
        for delivery in self.run(self.process.outbox.due(50)):
            assert delivery.wanted_version > 0
            assert delivery.download.channel == "C0OPS"

    def check_events(self) -> None:
        """Check the chain, and that each state follows from its events."""
        assert self.run(self.log.verify()).broken is None
        states: dict[str, str] = {}
        for _, line in self.run(self.log.page(0, None, None)):
            name = line["event"].removeprefix("request:").replace("acted_alone", "approved")
            if line["event"] == "request:created":
                states[line["request"]] = line["state"]
            elif line["event"].startswith("request:") and name in set(State):
                assert State(states[line["request"]]) in RUNNING | {State.AWAITING}
                states[line["request"]] = name
        stored = [request for job in self.jobs for request in self.requests(job)]
        assert states == {request.id: str(request.state) for request in stored}
