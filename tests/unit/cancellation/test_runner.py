"""A run: look, DELETE, look again; and every way in which Atlas can fail in between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from bot.atlas import (
    AtlasError,
    CancelAccepted,
    JobNotFound,
    NoConnection,
    NotCancellable,
    RateLimited,
    TimedOut,
    Unavailable,
)
from bot.cancellation.errors import NotRecorded, RequestMovedOn
from bot.cancellation.lifecycle import DeleteAttempts, Outcome, Request, State
from bot.cancellation.policy import Policy
from bot.cancellation.projects import Project, Projects
from bot.services.runner import FRESH, LAST_READ, MAX_CONCURRENT_RUNS, PATIENCE, Runner
from tests.support.domain import PROJECT_ID, Clock, a_job, a_request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bot.atlas import Cluster, JobRef, RestoreJob

THERE = a_job()
GONE = a_job(cancelled=True)
ENDED = a_job(expired=True)
ACCEPTED = CancelAccepted(status=204)

Answer = Any


@dataclass(slots=True)
class Script:
    """An Atlas that answers what it is told to, in turn; the last answer repeats."""

    clock: Clock
    reads: list[Answer]
    deletes: list[Answer] = field(default_factory=lambda: [ACCEPTED])
    calls: list[str] = field(default_factory=list)
    timeouts: list[float | None] = field(default_factory=list)
    seconds: float = 0.1

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        self.calls.append("GET")
        self.timeouts.append(timeout)
        answer: RestoreJob = self._next(self.reads)
        return answer

    async def cancel_restore_job(self, ref: JobRef) -> CancelAccepted:
        self.calls.append("DELETE")
        answer: CancelAccepted = self._next(self.deletes)
        return answer

    def _next(self, answers: list[Answer]) -> Answer:
        self.clock.forward(self.seconds)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def restore_jobs(self, project_id: str, cluster_name: str) -> Sequence[RestoreJob]:
        raise AssertionError("a run reads one job")

    async def clusters(self, project_id: str) -> Sequence[Cluster]:
        raise AssertionError("a run reads one job")


@dataclass(slots=True)
class Held:
    """A ledger that holds one request for the runner, and keeps what is written."""

    request: Request
    written: list[str] = field(default_factory=list)
    ended: tuple[State, Outcome] | None = None
    lost: bool = False
    away: bool = False
    released: bool = False

    async def claim(self, request_id: str) -> Request | None:
        return None if self.lost else self.request

    async def renew(self, request_id: str) -> bool:
        return not self.lost

    async def release(self, request_id: str) -> bool:
        self.released = True
        return True

    async def cancel_sent(self, request: Request) -> Request:
        if self.away:
            raise NotRecorded
        self.written.append("sent")
        sent = replace(request.sent, count=request.sent.count + 1, unknown=True)
        return replace(request, sent=sent)

    async def cancel_answered(
        self, request: Request, sent: DeleteAttempts, answer: Mapping[str, object]
    ) -> Request:
        self.written.append(f"answered {answer['status']}")
        return replace(request, sent=sent)

    async def settle(self, request: Request, state: State, outcome: Outcome) -> Request:
        self.ended = (state, outcome)
        return replace(request, state=state, outcome=outcome)


def error(kind: type[AtlasError], **values: Any) -> AtlasError:
    return kind(**values)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def run(atlas: Script, held: Held) -> tuple[State, Outcome]:
    projects = Projects([Project(id=PROJECT_ID, name="shop", policy=Policy(), atlas=atlas)])
    clock = atlas.clock

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(3600 if seconds == 3.0 else 0)  # the lease's renewal never comes due
        await clock.sleep(seconds)

    runner = Runner(held, projects, sleep=sleep, monotonic=clock.monotonic)
    await runner.run(held.request.id)
    assert held.ended
    return held.ended


async def test_a_cancellation_is_look_delete_look(clock: Clock) -> None:
    atlas = Script(clock, reads=[THERE, GONE])
    held = Held(a_request())

    state, _ = await run(atlas, held)

    assert state is State.CANCELLED
    assert atlas.calls == ["GET", "DELETE", "GET"]
    assert held.written == ["sent", "answered 204"]


async def test_cancelled_is_not_said_before_atlas_says_so(clock: Clock) -> None:
    atlas = Script(clock, reads=[THERE, THERE, THERE, GONE])

    state, _ = await run(atlas, Held(a_request()))

    assert state is State.CANCELLED
    assert atlas.calls == ["GET", "DELETE", "GET", "GET", "GET"]


async def test_an_accepted_delete_that_never_shows_fails_within_its_time(clock: Clock) -> None:
    atlas = Script(clock, reads=[THERE])
    start = clock.monotonic()

    state, outcome = await run(atlas, Held(a_request()))

    assert state is State.FAILED
    assert "still shows" in outcome.sentence
    assert atlas.calls.count("DELETE") == 1
    assert clock.monotonic() - start < PATIENCE + LAST_READ


async def test_nothing_is_sent_for_a_job_that_has_ended(clock: Clock) -> None:
    atlas = Script(clock, reads=[ENDED])

    state, outcome = await run(atlas, Held(a_request()))

    assert (state, atlas.calls) == (State.OVER, ["GET"])
    assert "expired" in outcome.sentence


async def test_nothing_is_sent_for_another_job_than_was_shown(clock: Clock) -> None:
    atlas = Script(clock, reads=[a_job(snapshotId="f" * 24)])

    state, _ = await run(atlas, Held(a_request()))

    assert (state, atlas.calls) == (State.CHANGED, ["GET"])


async def test_a_plain_no_is_refused_with_its_code(clock: Clock) -> None:
    no = error(NotCancellable, status=400, code="CANNOT_CANCEL_AUTOMATED_RESTORE")
    atlas = Script(clock, reads=[THERE], deletes=[no])

    state, outcome = await run(atlas, Held(a_request()))

    assert state is State.REFUSED
    assert (outcome.status, outcome.code) == (400, "CANNOT_CANCEL_AUTOMATED_RESTORE")
    assert atlas.calls == ["GET", "DELETE", "GET"]


async def test_a_no_because_somebody_else_was_quicker_is_over(clock: Clock) -> None:
    no = error(NotCancellable, status=400, code="ALREADY")
    atlas = Script(clock, reads=[THERE, GONE], deletes=[no])

    assert (await run(atlas, Held(a_request())))[0] is State.OVER


async def test_a_no_to_the_first_look_is_refused_without_a_delete(clock: Clock) -> None:
    no = error(JobNotFound, status=404, code="RESTORE_JOB_NOT_FOUND")
    atlas = Script(clock, reads=[no])

    state, outcome = await run(atlas, Held(a_request()))

    assert (state, outcome.code, atlas.calls) == (
        State.REFUSED,
        "RESTORE_JOB_NOT_FOUND",
        ["GET"],
    )


async def test_a_lost_answer_is_settled_by_a_look_not_by_another_delete(clock: Clock) -> None:
    lost = error(NoConnection, may_have_taken_effect=True)
    atlas = Script(clock, reads=[THERE, GONE], deletes=[lost])

    state, _ = await run(atlas, Held(a_request()))

    assert (state, atlas.calls) == (State.CANCELLED, ["GET", "DELETE", "GET"])


async def test_a_delete_that_did_not_arrive_is_sent_again_after_a_look(clock: Clock) -> None:
    lost = error(NoConnection, may_have_taken_effect=True)
    atlas = Script(clock, reads=[THERE, THERE, GONE], deletes=[lost, ACCEPTED])

    state, _ = await run(atlas, Held(a_request()))

    assert state is State.CANCELLED
    assert atlas.calls == ["GET", "DELETE", "GET", "DELETE", "GET"]


async def test_a_lasting_fault_of_the_delete_fails_within_its_time(clock: Clock) -> None:
    atlas = Script(clock, reads=[THERE], deletes=[error(Unavailable, status=503)])
    start = clock.monotonic()

    state, outcome = await run(atlas, Held(a_request()))

    assert (state, outcome.status) == (State.FAILED, 503)
    assert "still there" in outcome.sentence
    assert clock.monotonic() - start < PATIENCE + LAST_READ


async def test_a_long_rate_limit_is_told_at_once(clock: Clock) -> None:
    limited = error(RateLimited, status=429, retry_after=55.0)
    atlas = Script(clock, reads=[THERE, limited], deletes=[limited])
    start = clock.monotonic()

    state, _ = await run(atlas, Held(a_request()))

    assert state is State.FAILED
    assert clock.monotonic() - start < 2


async def test_a_long_rate_limit_of_the_delete_is_not_met_with_more_deletes(clock: Clock) -> None:
    limited = error(RateLimited, status=429, retry_after=55.0)
    atlas = Script(clock, reads=[THERE], deletes=[limited])

    state, outcome = await run(atlas, Held(a_request()))

    assert (state, outcome.status) == (State.FAILED, 429)
    assert atlas.calls == ["GET", "DELETE", "GET"]


@pytest.mark.parametrize("seconds", [4.0, 12.0])
async def test_a_short_rate_limit_is_waited_out(clock: Clock, seconds: float) -> None:
    limited = error(RateLimited, status=429, retry_after=seconds)
    atlas = Script(clock, reads=[THERE, THERE, GONE], deletes=[limited, ACCEPTED])

    assert (await run(atlas, Held(a_request())))[0] is State.CANCELLED
    assert seconds in clock.waits


async def test_a_no_to_the_delete_stays_a_no_when_the_job_cannot_be_read_after_it(
    clock: Clock,
) -> None:
    no = error(NotCancellable, status=405, code="ATLAS_SAYS_NO")
    atlas = Script(clock, reads=[THERE, error(Unavailable, status=503)], deletes=[no])

    state, outcome = await run(atlas, Held(a_request()))

    assert (state, outcome.status, outcome.code) == (State.REFUSED, 405, "ATLAS_SAYS_NO")


async def test_a_job_that_ended_while_its_cancellation_was_lost_was_not_left_alone(
    clock: Clock,
) -> None:
    lost = error(NoConnection, may_have_taken_effect=True)
    atlas = Script(clock, reads=[THERE, ENDED], deletes=[lost])

    state, outcome = await run(atlas, Held(a_request()))

    assert state is State.OVER
    assert "Nothing was sent" not in outcome.sentence


async def test_a_fault_before_any_delete_says_that_nothing_was_done(clock: Clock) -> None:
    atlas = Script(clock, reads=[error(TimedOut)])

    state, outcome = await run(atlas, Held(a_request()))

    assert state is State.FAILED
    assert outcome.sentence.startswith("Nothing was done")


async def test_a_fault_after_a_delete_says_that_it_was_sent(clock: Clock) -> None:
    atlas = Script(clock, reads=[THERE, error(TimedOut)])

    state, outcome = await run(atlas, Held(a_request()))

    assert state is State.FAILED
    assert outcome.sentence.startswith("The cancellation was sent")
    assert atlas.timeouts[-1] is not None
    assert atlas.timeouts[-1] >= LAST_READ


async def test_after_a_crash_a_job_that_reads_cancelled_is_ours(clock: Clock) -> None:
    atlas = Script(clock, reads=[GONE])

    state, _ = await run(atlas, Held(a_request(sent=DeleteAttempts(count=1, unknown=True))))

    assert (state, atlas.calls) == (State.CANCELLED, ["GET"])


async def test_what_cannot_be_written_down_is_not_sent(clock: Clock) -> None:
    atlas = Script(clock, reads=[THERE])
    held = Held(a_request(), away=True)

    with pytest.raises(NotRecorded):
        await run(atlas, held)

    assert atlas.calls == ["GET"]


async def test_a_request_of_another_runner_is_left_alone(clock: Clock) -> None:
    atlas = Script(clock, reads=[THERE])
    held = Held(a_request(), lost=True)

    with pytest.raises(AssertionError):
        await run(atlas, held)

    assert atlas.calls == []


async def test_a_request_of_a_forgotten_project_fails_with_a_sentence(clock: Clock) -> None:
    held = Held(a_request())
    runner = Runner(held, Projects([]))

    await runner.run(held.request.id)

    assert held.ended
    assert held.ended[0] is State.FAILED
    assert "no key for this project" in held.ended[1].sentence


async def test_stopping_lets_a_run_finish_or_lets_go_of_it() -> None:
    started = asyncio.Event()

    class Stuck(Script):
        async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
            started.set()
            await asyncio.sleep(3600)
            raise AssertionError

    held = Held(a_request())
    project = Project(
        id=PROJECT_ID, name="shop", policy=Policy(), atlas=Stuck(Clock(), reads=[THERE])
    )
    runner = Runner(held, Projects([project]))
    runner.start(held.request.id)
    await started.wait()

    await runner.stop(0.01)

    assert held.released
    assert held.ended is None


async def test_the_answer_is_written_down_while_the_next_look_is_on_its_way(clock: Clock) -> None:
    looked = asyncio.Event()

    class Looked(Script):
        async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
            if "DELETE" in self.calls:
                looked.set()
            return await super().restore_job(ref, timeout=timeout)

    class Slow(Held):
        async def cancel_answered(
            self, request: Request, sent: DeleteAttempts, answer: Mapping[str, object]
        ) -> Request:
            await looked.wait()
            return await super().cancel_answered(request, sent, answer)

    held = Slow(a_request())
    async with asyncio.timeout(5):
        state, _ = await run(Looked(clock, reads=[THERE, GONE]), held)

    assert state is State.CANCELLED
    assert held.written == ["sent", "answered 204"]


async def test_a_run_whose_answer_cannot_be_written_down_says_nothing(clock: Clock) -> None:
    """Whoever has the request by now looks for itself."""

    class Overtaken(Held):
        async def cancel_answered(
            self, request: Request, sent: DeleteAttempts, answer: Mapping[str, object]
        ) -> Request:
            raise RequestMovedOn(request)

    held = Overtaken(a_request())
    project = Project(
        id=PROJECT_ID, name="shop", policy=Policy(), atlas=Script(clock, reads=[THERE, GONE])
    )
    with pytest.raises(RequestMovedOn):
        await Runner(held, Projects([project])).run(held.request.id)

    assert held.ended is None


async def test_no_more_are_claimed_than_can_be_brought_to_an_end_in_time() -> None:
    """A lease that runs out in a queue is work for nothing, of which ever more queues up."""
    claimed: list[str] = []
    let_go = asyncio.Event()

    class Many(Held):
        async def claim(self, request_id: str) -> Request | None:
            claimed.append(request_id)
            await let_go.wait()
            return None

    runner = Runner(Many(a_request()), Projects([]))
    ids = [str(number) for number in range(3 * MAX_CONCURRENT_RUNS)]
    for request_id in ids:
        runner.start(request_id)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert claimed == ids[:MAX_CONCURRENT_RUNS]

    let_go.set()
    await runner.stop(5)

    assert claimed == ids


class Hall:
    """A ledger and an Atlas in which every claim and every look waits to be let through."""

    def __init__(self, request: Request, clock: Clock) -> None:
        hall = self
        self.claims, self.looks = asyncio.Event(), asyncio.Event()
        self.given_up = 0

        class Slow(Held):
            async def claim(self, request_id: str) -> Request | None:
                await hall.claims.wait()
                return await Held.claim(self, request_id)

        class Far(Script):
            async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
                job = await Script.restore_job(self, ref, timeout=timeout)
                try:
                    await hall.looks.wait()
                except asyncio.CancelledError:
                    hall.given_up += 1
                    raise
                return job

        self.held = Slow(request)
        self.atlas = Far(clock, reads=[THERE, GONE])
        project = Project(id=PROJECT_ID, name="shop", policy=Policy(), atlas=self.atlas)
        self.runner = Runner(self.held, Projects([project]), monotonic=clock.monotonic)


async def test_the_job_of_a_new_request_is_looked_at_while_it_is_claimed(clock: Clock) -> None:
    request = a_request()
    hall = Hall(request, clock)

    hall.runner.start(request.id, request.ref)
    await asyncio.sleep(0.01)
    assert hall.atlas.calls == ["GET"]
    hall.looks.set()
    await asyncio.sleep(0.01)
    assert (hall.atlas.calls, hall.held.written) == (["GET"], [])  # nothing before the claim

    hall.claims.set()
    await hall.runner.stop(5)

    assert hall.atlas.calls == ["GET", "DELETE", "GET"]
    assert hall.held.ended
    assert hall.held.ended[0] is State.CANCELLED


async def test_a_look_from_before_the_claim_does_not_count_after_another_runners_delete(
    clock: Clock,
) -> None:
    """It may be older than that DELETE, and would have a second one sent."""
    request = a_request()
    hall = Hall(request, clock)
    hall.looks.set()

    hall.runner.start(request.id, request.ref)
    await asyncio.sleep(0.01)
    hall.held.request = replace(request, sent=DeleteAttempts(count=1, unknown=True))
    hall.claims.set()
    await hall.runner.stop(5)

    assert hall.atlas.calls == ["GET", "GET"]


async def test_a_look_that_began_long_before_the_claim_does_not_count(clock: Clock) -> None:
    request = a_request()
    hall = Hall(request, clock)
    hall.looks.set()

    hall.runner.start(request.id, request.ref)
    await asyncio.sleep(0.01)
    clock.forward(FRESH + 0.1)
    hall.claims.set()
    await hall.runner.stop(5)

    assert hall.atlas.calls == ["GET", "GET"]  # the second look says that the job is gone


@pytest.mark.parametrize("claims", [True, False])
async def test_a_look_at_a_job_that_somebody_else_claims_is_given_up(
    clock: Clock, *, claims: bool
) -> None:
    request = a_request()
    hall = Hall(request, clock)
    hall.held.lost = True

    hall.runner.start(request.id, request.ref)
    await asyncio.sleep(0.01)
    if claims:
        hall.claims.set()
    await hall.runner.stop(0.05)

    assert (hall.given_up, hall.atlas.calls) == (1, ["GET"])


async def test_a_request_that_was_found_is_looked_at_only_once_it_is_claimed(clock: Clock) -> None:
    """Whoever held it before may have sent a DELETE since."""
    hall = Hall(a_request(), clock)

    hall.runner.start(hall.held.request.id)
    await asyncio.sleep(0.01)
    assert hall.atlas.calls == []

    hall.looks.set()
    hall.claims.set()
    await hall.runner.stop(5)

    assert hall.atlas.calls == ["GET", "DELETE", "GET"]


async def test_a_run_that_was_taken_over_is_dropped_quietly(clock: Clock) -> None:
    class Overtaken(Held):
        async def cancel_sent(self, request: Request) -> Request:
            raise RequestMovedOn(request)

    atlas = Script(clock, reads=[THERE])
    project = Project(id=PROJECT_ID, name="shop", policy=Policy(), atlas=atlas)
    held = Overtaken(a_request())
    runner = Runner(held, Projects([project]))

    runner.start(held.request.id)
    await runner.stop(5)

    assert atlas.calls == ["GET"]
    assert held.ended is None
