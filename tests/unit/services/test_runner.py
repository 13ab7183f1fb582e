"""A run: GET, DELETE, GET; and each way in which Atlas or the database can fail in between."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest
import structlog

from bot.atlas import (
    AtlasClient,
    JobNotFound,
    JobRef,
    NoConnection,
    NotCancellable,
    RateLimited,
    RestoreJob,
    TimedOut,
    Unavailable,
)
from bot.cancellation.errors import AlreadyHandled, NotRecorded, ReadOnly, RightsNotChecked
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import Approval, DeleteAttempts, Outcome, Request, State
from bot.cancellation.people import Kind, People, Person
from bot.cancellation.policy import Policy
from bot.services.projects import Project, Projects
from bot.services.runner import (
    ACCEPTED_BUT_NOT_CANCELLED,
    ANOTHER_JOB,
    APPROVALS_MISSING,
    CANCELLED_AND_FAILED,
    CHECK_BACKOFF,
    CHECK_REPORT_DELAY,
    CONFIRMED,
    ENDED_BEFORE,
    ENDED_OTHERWISE,
    MAX_CONCURRENT_RUNS,
    NOTHING_DONE,
    NOTHING_MORE_SENT,
    READ_BACKOFF,
    SENT_BUT_NOT_CANCELLED,
    SENT_BUT_UNREADABLE,
    RightsCheck,
    Runner,
    sentence_when_over,
)
from bot.storage.database import Database
from bot.storage.lease_store import LeaseStore
from bot.timings import Timings
from tests.support.clock import NOON, FakeClock
from tests.support.domain import PROJECT_ID, a_job, a_request, resolve_members
from tests.support.fake_atlas import UnconnectedAtlas

THERE = a_job()
CANCELLED = a_job(cancelled=True)
EXPIRED = a_job(expired=True)
ACCEPTED = 204

REJECTED = NotCancellable(status=400, code="CANNOT_CANCEL_AUTOMATED_RESTORE")
LOST = NoConnection(may_have_taken_effect=True)
LIMITED = RateLimited(status=429, retry_after=55.0)
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
        await asyncio.sleep(3600)
        raise AssertionError


@dataclass(slots=True)
class FakeLeaseStore(LeaseStore):
    """A store in memory with one request; it keeps the writes of the runner.

    `faults` are raised by `claim`, and at the record of what was `sent` and its `answer`.
    """

    database: Database = field(init=False)
    now: Callable[[], datetime] = field(init=False)
    owner: str = field(init=False, default="runner-1")
    request: Request = field(default_factory=a_request)
    written: list[str] = field(default_factory=list)
    answers: list[Mapping[str, object]] = field(default_factory=list)
    link_expires_at: datetime | None = None
    settled: tuple[State, Outcome] | None = None
    held_by_another: bool = False
    faults: dict[str, Exception] = field(default_factory=dict)
    released: str | None = None
    judgement: Judgement | None = None

    async def claim(self, request_id: str) -> Request | None:
        self._fail("claim")
        return None if self.held_by_another else self.request

    async def renew(self, request_id: str) -> bool:
        return not self.held_by_another

    async def release(self, request_id: str) -> bool:
        self.released = request_id
        return True

    async def record_delete_sent(
        self, request: Request, link_expires_at: datetime | None = None
    ) -> Request:
        self._fail("sent")
        self.written.append("sent")
        self.link_expires_at = link_expires_at
        sent = replace(request.sent, count=request.sent.count + 1, unknown=True)
        return replace(request, sent=sent)

    async def record_delete_answer(
        self, request: Request, sent: DeleteAttempts, answer: Mapping[str, object]
    ) -> Request:
        self._fail("answer")
        self.written.append(f"answered {answer['status']}")
        self.answers.append(answer)
        return replace(request, sent=sent)

    async def record_check_failed(self, request: Request, why: str) -> None:
        self.written.append(f"check failed for {request.id}: {why}")

    async def settle(
        self, request: Request, state: State, outcome: Outcome, judgement: Judgement | None = None
    ) -> Request:
        self.judgement = judgement
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

    async def resolve(self, users: Collection[str], _groups: Collection[str]) -> dict[str, Person]:
        self.was_asked.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {user: Person(id=user, team="T1", kind=answer) for user in users}


def a_runner(
    store: FakeLeaseStore,
    atlas: AtlasClient | None = None,
    policy: Policy | None = None,
    slack: ScriptedSlack | None = None,
    **values: Any,
) -> Runner:
    """Return a runner of one project, or of none without `atlas`; all people are members."""
    clients = (atlas,) if atlas else ()
    projects = Projects(
        [Project(id=PROJECT_ID, name="shop", policy=policy or Policy(), atlas=a) for a in clients]
    )
    rights = RightsCheck(projects, slack.resolve if slack else resolve_members)
    return Runner(store, projects, rights, **values)


async def run(
    atlas: ScriptedAtlas,
    store: FakeLeaseStore | None = None,
    *slack_answers: Kind | Exception,
    policy: Policy | None = None,
) -> tuple[State, Outcome]:
    store = store or FakeLeaseStore()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(3600 if seconds == 3.0 else 0)  # the lease's renewal never comes due
        await atlas.clock.sleep(seconds)

    slack = ScriptedSlack([*slack_answers]) if slack_answers else None
    runner = a_runner(store, atlas, policy, slack, sleep=sleep, monotonic=atlas.clock.monotonic)
    await runner.run(store.request.id)
    assert store.settled
    return store.settled


async def test_run_reads_deletes_and_reads_again_and_records_it() -> None:
    atlas = ScriptedAtlas(reads=[THERE, CANCELLED])
    store = FakeLeaseStore(a_request(), written=atlas.calls)
    state, outcome = await run(atlas, store)

    assert (state, outcome.sentence) == (State.CANCELLED, CONFIRMED)
    assert atlas.calls == ["GET", "sent", "DELETE", "answered 204", "GET"]
    assert atlas.refs == [store.request.ref] * 3
    assert store.answers == [{"status": 204, "code": None}]


ANSWERS: dict[str, Answer] = {
    "there": THERE,
    "cancelled": CANCELLED,
    "expired": EXPIRED,
    "cancelled and failed": a_job(cancelled=True, failed=True),
    "another snapshot": a_job(snapshotId="f" * 24),
    "not found": JobNotFound(status=404, code="RESTORE_JOB_NOT_FOUND"),
    "accepted": ACCEPTED,
    "rejected": REJECTED,
    "lost": LOST,
    "timed out": TimedOut(),
    "limited": LIMITED,
    "503": Unavailable(status=503),
}
REJECTION = {"status": 400, "code": REJECTED.code, "sentence": str(REJECTED)}


@pytest.mark.parametrize(
    ("exchange", "settled", "expected"),
    [
        ("GET expired", State.OVER, {"sentence": ENDED_BEFORE.format(state="expired")}),
        (
            "GET cancelled and failed",
            State.OVER,
            {"sentence": ENDED_BEFORE.format(state="cancelled and failed")},
        ),
        ("GET another snapshot", State.CHANGED, {"sentence": ANOTHER_JOB}),
        ("GET not found", State.REFUSED, {"code": "RESTORE_JOB_NOT_FOUND"}),
        ("GET there, DELETE accepted, GET there, GET there, GET cancelled", State.CANCELLED, {}),
        (
            "GET there, DELETE accepted, GET cancelled and failed",
            State.OVER,
            {"sentence": CANCELLED_AND_FAILED},
        ),
        ("GET there, DELETE rejected, GET there", State.REFUSED, REJECTION),
        ("GET there, DELETE rejected, GET 503", State.REFUSED, REJECTION),
        ("GET there, DELETE rejected, GET cancelled", State.OVER, {}),
        ("GET there, DELETE lost, GET cancelled", State.CANCELLED, {}),
        ("GET there, DELETE lost, GET there, DELETE accepted, GET cancelled", State.CANCELLED, {}),
        (
            "GET there, DELETE lost, GET expired",
            State.OVER,
            {"sentence": ENDED_OTHERWISE.format(state="expired")},
        ),
        ("GET there, DELETE limited, GET there", State.FAILED, {"status": 429}),
        ("GET timed out", State.FAILED, {"sentence": f"{NOTHING_DONE} {TimedOut()}"}),
    ],
)
async def test_each_atlas_script_gives_the_expected_calls_and_state(
    exchange: str, settled: State, expected: Mapping[str, object]
) -> None:
    steps = [step.split(" ", 1) for step in exchange.split(", ")]
    reads, deletes = (
        [ANSWERS[answer] for call, answer in steps if call == method]
        for method in ("GET", "DELETE")
    )
    atlas = ScriptedAtlas(reads, deletes)
    state, outcome = await run(atlas)

    assert (state, atlas.calls) == (settled, [call for call, _ in steps])
    assert {name: getattr(outcome, name) for name in expected} == expected


async def test_accepted_delete_without_effect_fails_within_the_timeout() -> None:
    atlas = ScriptedAtlas(reads=[THERE], seconds=0.3)
    start = atlas.clock.monotonic()
    state, outcome = await run(atlas)

    assert state is State.FAILED
    assert outcome.sentence == ACCEPTED_BUT_NOT_CANCELLED.format(state="in progress")
    assert atlas.calls.count("DELETE") == 1
    # The last wait ends at the deadline, and one read follows.
    assert atlas.clock.monotonic() - start == pytest.approx(Timings.run_timeout + atlas.seconds)


async def test_lasting_fault_of_the_delete_fails_within_the_timeout() -> None:
    atlas = ScriptedAtlas(reads=[THERE], deletes=[Unavailable(status=503)])
    start = atlas.clock.monotonic()
    state, outcome = await run(atlas)

    assert (state, outcome.status) == (State.FAILED, 503)
    assert "still there" in outcome.sentence
    assert atlas.clock.monotonic() - start < Timings.run_timeout + Timings.final_read_timeout


@pytest.mark.parametrize("seconds", [4.0, 12.0])
async def test_short_rate_limit_is_waited_out(seconds: float) -> None:
    limited = RateLimited(status=429, retry_after=seconds)
    atlas = ScriptedAtlas(reads=[THERE, THERE, CANCELLED], deletes=[limited, ACCEPTED])

    assert (await run(atlas))[0] is State.CANCELLED
    assert seconds in atlas.clock.sleeps


async def test_fault_after_a_delete_is_reported_as_sent() -> None:
    atlas = ScriptedAtlas(reads=[THERE, TimedOut()])
    state, outcome = await run(atlas)

    assert state is State.FAILED
    assert outcome.sentence.startswith("The cancellation was sent")
    assert atlas.timeouts[-1] is not None
    assert atlas.timeouts[-1] >= Timings.final_read_timeout


async def test_cancelled_job_after_a_crash_is_settled_without_delete() -> None:
    atlas = ScriptedAtlas(reads=[CANCELLED])
    state, _ = await run(atlas, FakeLeaseStore(a_request(sent=UNKNOWN)))

    assert (state, atlas.calls) == (State.CANCELLED, ["GET"])


async def test_first_read_after_a_lost_answer_is_immediate() -> None:
    atlas = ScriptedAtlas([THERE, CANCELLED], [LOST])
    await run(atlas)

    assert atlas.clock.sleeps == [0.0]


@pytest.mark.parametrize("fault", [NotRecorded(), AlreadyHandled(a_request())])
async def test_unrecorded_attempt_sends_no_delete(fault: Exception) -> None:
    atlas = ScriptedAtlas(reads=[THERE])
    store = FakeLeaseStore(faults={"sent": fault})
    with pytest.raises(type(fault)):
        await run(atlas, store)

    assert atlas.calls == ["GET"]
    assert store.settled is None


async def test_request_of_another_runner_is_not_run() -> None:
    atlas = ScriptedAtlas(reads=[THERE])
    store = FakeLeaseStore(a_request(), held_by_another=True)
    with pytest.raises(AssertionError):
        await run(atlas, store)

    assert atlas.calls == []


async def test_request_of_an_unknown_project_fails_with_a_sentence() -> None:
    store = FakeLeaseStore()
    runner = a_runner(store)
    await runner.run(store.request.id)

    assert store.settled
    assert store.settled[0] is State.FAILED
    assert "no key for this project" in store.settled[1].sentence


async def test_stop_releases_the_lease_of_an_unfinished_run() -> None:
    atlas, store = HangingAtlas([THERE]), FakeLeaseStore()
    runner = a_runner(store, atlas)
    runner.start(store.request.id)
    await atlas.started.wait()

    await runner.stop(0.01)

    assert store.released == store.request.id
    assert store.settled is None


async def test_unrecorded_answer_settles_nothing() -> None:
    store = FakeLeaseStore(faults={"answer": AlreadyHandled(a_request())})
    with pytest.raises(AlreadyHandled):
        await run(ScriptedAtlas(reads=[THERE, CANCELLED]), store)

    assert store.settled is None


async def test_concurrent_runs_are_limited_and_the_others_stay_unclaimed() -> None:
    claimed: list[str] = []
    released = asyncio.Event()

    class SlowStore(FakeLeaseStore):
        async def claim(self, request_id: str) -> Request | None:
            claimed.append(request_id)
            await released.wait()
            return None

    runner = a_runner(SlowStore())
    ids = [str(number) for number in range(3 * MAX_CONCURRENT_RUNS)]
    for request_id in ids:
        runner.start(request_id)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert claimed == ids[:MAX_CONCURRENT_RUNS]

    released.set()
    await runner.stop(5)

    assert claimed == ids


async def test_job_is_read_only_after_the_claim() -> None:
    """A GET from before the claim may be older than another runner's DELETE."""
    may_claim = asyncio.Event()

    class SlowStore(FakeLeaseStore):
        async def claim(self, request_id: str) -> Request | None:
            await may_claim.wait()
            return await super().claim(request_id)

    atlas = ScriptedAtlas(reads=[THERE, CANCELLED])
    store = SlowStore()
    runner = a_runner(store, atlas, monotonic=atlas.clock.monotonic)

    runner.start(store.request.id)
    await asyncio.sleep(0.01)
    assert atlas.calls == []

    may_claim.set()
    await runner.stop(5)
    assert atlas.calls == ["GET", "DELETE", "GET"]


async def test_reads_after_the_delete_follow_the_backoff() -> None:
    atlas = ScriptedAtlas(reads=[THERE] * 7 + [CANCELLED])
    await run(atlas)

    assert atlas.clock.sleeps == [*READ_BACKOFF, READ_BACKOFF[-1]]
    assert atlas.timeouts[0] == pytest.approx(Timings.run_timeout)


@pytest.mark.parametrize("last", [THERE, LIMITED])
@pytest.mark.parametrize("seconds", [Timings.run_timeout, 55.0])
async def test_rate_limit_until_the_deadline_ends_the_run_without_waiting(
    seconds: float, last: Answer
) -> None:
    limited = RateLimited(status=429, retry_after=seconds)
    atlas = ScriptedAtlas(reads=[THERE, last], deletes=[limited], seconds=0.0)
    state, _ = await run(atlas)

    assert (state, atlas.calls) == (State.FAILED, ["GET", "DELETE", "GET"])
    assert atlas.clock.sleeps == [0.0]


async def test_answer_of_a_failed_delete_is_recorded_with_its_error() -> None:
    atlas = ScriptedAtlas(reads=[THERE, CANCELLED], deletes=[Unavailable(status=503)])
    store = FakeLeaseStore()
    await run(atlas, store)

    assert store.answers == [{"status": 503, "code": None, "error": "Unavailable"}]


async def test_rejected_delete_keeps_an_earlier_attempt_unknown() -> None:
    """The earlier DELETE, whose answer was lost, may have cancelled the job."""
    atlas = ScriptedAtlas(reads=[THERE, CANCELLED], deletes=[REJECTED])
    state, _ = await run(atlas, FakeLeaseStore(a_request(sent=UNKNOWN)))
    assert state is State.CANCELLED

    atlas = ScriptedAtlas(reads=[THERE, TimedOut()], deletes=[REJECTED])
    state, outcome = await run(atlas, FakeLeaseStore(a_request(sent=UNKNOWN)))
    assert state is State.FAILED
    assert outcome.sentence.startswith(SENT_BUT_UNREADABLE)


async def test_taken_over_run_past_its_deadline_fails_without_a_second_delete() -> None:
    atlas = ScriptedAtlas(reads=[THERE], seconds=Timings.run_timeout + 1)
    state, outcome = await run(atlas, FakeLeaseStore(a_request(sent=UNKNOWN)))

    assert (state, atlas.calls) == (State.FAILED, ["GET"])
    assert outcome.sentence == SENT_BUT_NOT_CANCELLED.format(state="in progress")


async def test_lease_is_renewed_at_the_interval_until_it_is_lost() -> None:
    renewals: list[str] = []
    waits: list[float] = []
    lost = asyncio.Event()

    class ExpiringStore(FakeLeaseStore):
        async def renew(self, request_id: str) -> bool:
            renewals.append(request_id)
            if len(renewals) == 2:
                raise NotRecorded
            if len(renewals) == 3:
                lost.set()
            return len(renewals) < 3

    class WaitingAtlas(ScriptedAtlas):
        async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
            await lost.wait()
            await asyncio.sleep(0.01)
            return await super().restore_job(ref, timeout=timeout)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    store = ExpiringStore()
    atlas = WaitingAtlas(reads=[EXPIRED])
    runner = a_runner(store, atlas, timings=Timings(lease_renewal_interval=7.0), sleep=sleep)
    with structlog.testing.capture_logs() as log:
        await runner.run(store.request.id)

    assert renewals == [store.request.id] * 3
    assert waits == [7.0] * 3
    assert log == [
        {"event": "lease not renewed", "why": str(NotRecorded()), "log_level": "warning"}
    ]


async def test_request_runs_once_at_a_time_and_again_after_its_end() -> None:
    traces: list[tuple[str, str | None]] = []
    names: list[str] = []

    class CountingStore(FakeLeaseStore):
        async def claim(self, request_id: str) -> Request | None:
            task = asyncio.current_task()
            names.append(task.get_name() if task else "")
            return None

    @contextmanager
    def tracer(name: str, request: str | None, /) -> Iterator[None]:
        traces.append((name, request))
        yield

    runner = a_runner(CountingStore(), ScriptedAtlas([THERE]), tracer=tracer)
    runner.start("one")
    runner.start("one")
    await runner.stop(5)
    assert names == ["run one"]

    runner.start("one")
    await runner.stop(5)
    assert names == ["run one"] * 2
    assert traces == [("run", "one")] * 2


async def test_stop_does_not_wait_for_a_database_that_hangs() -> None:
    class HangingStore(FakeLeaseStore):
        async def release(self, request_id: str) -> bool:
            await asyncio.sleep(3600)
            return True

    atlas, timings = HangingAtlas([THERE]), Timings(lease_release_timeout=0.01)
    runner = a_runner(HangingStore(), atlas, timings=timings)
    runner.start("one")
    await atlas.started.wait()

    async with asyncio.timeout(20):
        await runner.stop(0.01)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotRecorded(), ("run interrupted", "warning", str(NotRecorded()))),
        (RuntimeError("bug"), ("run interrupted", "error", None)),
    ],
)
async def test_error_of_a_run_is_logged(
    error: Exception, expected: tuple[str, str, str | None]
) -> None:
    runner = a_runner(FakeLeaseStore(faults={"claim": error}), ScriptedAtlas([THERE]))
    with structlog.testing.capture_logs() as log:
        runner.start("one")
        await runner.stop(5)

    assert [(each["event"], each["log_level"], each.get("why")) for each in log] == [expected]


ADA_ONLY = Approval(user="U0ADA", at=NOON)


@pytest.mark.parametrize(
    ("request_", "kind", "policy", "why", "voided"),
    [
        (a_request(), Kind.DEACTIVATED, Policy(), "may not ask for this any more", set()),
        (
            a_request(approvals_needed=1, approvals=(ADA_ONLY,)),
            Kind.GUEST,
            Policy(requesters=People(users=frozenset({"U0RINA"})), approvals=1),
            f"{NOTHING_DONE} {APPROVALS_MISSING}",
            {"U0ADA"},
        ),
        (a_request(), Kind.MEMBER, Policy(approvals=1), APPROVALS_MISSING, set()),
        (a_request(acted_alone=True), Kind.MEMBER, Policy(approvals=1), "", set()),
        (a_request(), Kind.MEMBER, Policy(read_only=True), f"{NOTHING_DONE} {ReadOnly()}", set()),
    ],
    ids=[
        "requester without rights",
        "approver without rights",
        "more approvals than given",
        "right to act alone is lost",
        "read-only project",
    ],
)
async def test_request_that_the_current_policy_does_not_allow_waits_again_without_a_delete(
    request_: Request, kind: Kind, policy: Policy, *, why: str, voided: set[str]
) -> None:
    atlas, store = ScriptedAtlas(reads=[THERE]), FakeLeaseStore(request_)
    state, outcome = await run(atlas, store, kind, policy=policy)

    assert (state, atlas.calls, store.written) == (State.AWAITING, ["GET"], [])
    assert why in outcome.sentence
    assert store.judgement
    assert store.judgement.voided == voided
    assert store.judgement.approvals_needed == max(policy.approvals, request_.approvals_needed)


async def test_delete_waits_until_slack_answers_and_the_job_is_read_again() -> None:
    atlas = ScriptedAtlas(reads=[THERE, THERE, THERE, CANCELLED])
    store = FakeLeaseStore()
    away = RightsNotChecked("Slack did not answer in time.")
    state, _ = await run(atlas, store, away, away, Kind.MEMBER)

    assert state is State.CANCELLED
    assert atlas.calls == ["GET", "GET", "GET", "DELETE", "GET"]
    assert store.written == ["sent", "answered 204"]  # a short failure is not reported
    assert all(timeout and timeout > 0 for timeout in atlas.timeouts)


@pytest.mark.parametrize(("seconds", "settled"), [(1.0, State.CANCELLED), (1.1, State.AWAITING)])
async def test_people_who_were_read_beside_the_job_count_for_a_second(
    seconds: float, settled: State
) -> None:
    atlas = ScriptedAtlas(reads=[THERE, CANCELLED], seconds=seconds)
    state, _ = await run(atlas, None, Kind.MEMBER, Kind.DEACTIVATED)

    assert state is settled


async def test_people_are_not_read_once_a_delete_was_sent() -> None:
    atlas, slack = ScriptedAtlas(reads=[CANCELLED]), ScriptedSlack([Kind.MEMBER])
    store = FakeLeaseStore(a_request(sent=UNKNOWN))
    await a_runner(store, atlas, slack=slack).run(store.request.id)

    assert atlas.calls == ["GET"]
    assert not slack.was_asked.is_set()


async def test_slack_is_asked_for_people_while_atlas_answers() -> None:
    slack = ScriptedSlack([Kind.MEMBER])

    class SlowAtlas(ScriptedAtlas):
        async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
            await asyncio.wait_for(slack.was_asked.wait(), 5)
            return await super().restore_job(ref, timeout=timeout)

    atlas, store = SlowAtlas(reads=[THERE, CANCELLED]), FakeLeaseStore()
    await a_runner(store, atlas, slack=slack).run(store.request.id)

    assert atlas.calls == ["GET", "DELETE", "GET"]


async def test_lasting_failure_of_slack_is_reported_once_and_sends_nothing() -> None:
    atlas = ScriptedAtlas(reads=[*[THERE] * 30, EXPIRED])
    store = FakeLeaseStore()
    began = atlas.clock.monotonic()
    away = RightsNotChecked("Slack did not answer in time.")
    state, _ = await run(atlas, store, away)

    assert state is State.OVER
    assert "DELETE" not in atlas.calls
    assert atlas.clock.monotonic() - began > Timings.run_timeout
    assert atlas.clock.sleeps[:6] == [*CHECK_BACKOFF, CHECK_BACKOFF[-1]]
    [report] = store.written
    assert report == f"check failed for {store.request.id}: {away}"


async def test_wait_that_slack_asks_for_is_kept_and_reported_before_it() -> None:
    atlas = ScriptedAtlas(reads=[THERE, THERE, CANCELLED])
    store = FakeLeaseStore()
    limited = RightsNotChecked("Slack allows no more calls.", retry_after=30.0)
    await run(atlas, store, limited, Kind.MEMBER)

    assert atlas.clock.sleeps[0] == 30.0
    assert store.written[0].startswith("check failed")


async def test_wait_that_ends_when_a_failure_is_due_for_its_report_is_not_reported() -> None:
    atlas = ScriptedAtlas(reads=[THERE, THERE, CANCELLED])
    store = FakeLeaseStore()
    limited = RightsNotChecked("Slack allows no more calls.", retry_after=CHECK_REPORT_DELAY)
    await run(atlas, store, limited, Kind.MEMBER)

    assert store.written == ["sent", "answered 204"]


@pytest.mark.parametrize("live", [True, False])
async def test_time_of_the_link_is_recorded_with_the_delete_only_if_it_is_live(
    *, live: bool
) -> None:
    job = THERE.model_copy(update={"link_is_live": live, "expires_at": NOON})
    store = FakeLeaseStore()
    await run(ScriptedAtlas(reads=[job, CANCELLED]), store)

    assert store.written[0] == "sent"
    assert store.link_expires_at == (NOON if live else None)


@pytest.mark.parametrize(
    ("sent", "job", "sentence"),
    [
        (DeleteAttempts(), a_job(failed=True), ENDED_BEFORE.format(state="failed")),
        (UNKNOWN, a_job(failed=True), ENDED_OTHERWISE.format(state="failed")),
        (UNKNOWN, a_job(failed=True, cancelled=True), CANCELLED_AND_FAILED),
    ],
)
def test_failed_job_counts_as_cancelled_only_if_it_reads_so(
    sent: DeleteAttempts, job: RestoreJob, sentence: str
) -> None:
    assert sentence_when_over(sent, job) == sentence


async def test_rights_are_judged_before_each_delete() -> None:
    atlas = ScriptedAtlas([THERE], [RateLimited(retry_after=1.0, status=429), ACCEPTED])
    store = FakeLeaseStore()
    state, outcome = await run(atlas, store, Kind.MEMBER, Kind.DEACTIVATED)

    assert state is State.AWAITING
    assert outcome.sentence.startswith(NOTHING_MORE_SENT)
    assert atlas.calls.count("DELETE") == 1


GLASS = Policy(approvals=1, break_glass=People(users=frozenset({"U0RINA"})))


async def test_request_that_acted_alone_is_sent_without_approvals() -> None:
    atlas = ScriptedAtlas(reads=[THERE, CANCELLED])
    store = FakeLeaseStore(a_request(acted_alone=True))
    state, _ = await run(atlas, store, Kind.MEMBER, policy=GLASS)

    assert (state, atlas.calls) == (State.CANCELLED, ["GET", "DELETE", "GET"])
