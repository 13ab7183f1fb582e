"""Runs approved requests: claim, GET and compare, check rights, DELETE, GET until cancelled."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from http import HTTPStatus
from itertools import chain, repeat

import structlog

from bot.atlas import AtlasCanceller, AtlasError, AtlasReader, AtlasRejected, JobState, RestoreJob
from bot.cancellation.errors import CancellationError, RightsNotChecked
from bot.cancellation.job import ENDED, READ_STEP
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import (
    DeleteAttempts,
    Ending,
    Outcome,
    Request,
    State,
    Step,
    next_step,
)
from bot.cancellation.people import Person
from bot.cancellation.quarantine import after_fault, try_again_at
from bot.log_config import bind_to_log
from bot.services.projects import Project, Projects
from bot.services.rights import RightsCheck
from bot.storage.lease_store import LeaseStore
from bot.tasks import log_errors
from bot.timings import DEFAULT_TIMINGS, Timings

#: Seconds before each GET after a DELETE; the first one follows immediately.
READ_BACKOFF = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
ENOUGH_NOT_FOUND = 5  #: 404s in a row, in 1.75 s or more: Atlas may show the job after fewer
#: Seconds before each further check of rights while Slack does not answer.
CHECK_BACKOFF = (0.25, 0.5, 1.0, 2.0, 4.0)
CHECK_REPORT_DELAY = 10.0  #: seconds without an answer from Slack until the requester is notified
SLOW_SLACK = "Slack answers too slowly."
#: Concurrent runs. More would wait for each other's transactions until their leases run out; the
#: others wait unclaimed, in order.
MAX_CONCURRENT_RUNS = 64
UNKNOWN_PROJECT = (
    "The bot has no key for this project any more. Ask an admin of the bot, then try again."
)
NOTHING_DONE = "Nothing was done."
NOTHING_MORE_SENT = "Nothing more was sent."
SENT_BUT_UNREADABLE = (
    "The cancellation was sent, but the download could not be read again, so look in Atlas."
)
JOB_STILL_THERE = "The download is still there."
ACCEPTED_BUT_NOT_CANCELLED = (
    "Atlas accepted the cancellation, but does not show the download as cancelled. {state}"
    " Look at it in Atlas, or try again."
)
SENT_BUT_NOT_CANCELLED = (
    "The cancellation was sent and its answer is not known. {state} Look at it in Atlas, or try"
    " again."
)
ENDED_OTHERWISE = "The download ended by other means. {state}"
CANCELLED_AND_FAILED = (
    "The download is over. It reads cancelled and failed, so Atlas does not say whether the"
    " cancellation ended it."
)
ANOTHER_JOB = "Its type or its snapshot is not the one that was shown."
APPROVALS_MISSING = "By the current policy, approvals are missing."
CONFIRMED = "Atlas confirms that the download is cancelled."

log = structlog.get_logger(__name__)


@dataclass(kw_only=True, eq=False)
class Run:
    """One claimed request, from the first GET to its result."""

    request: Request  #: as it was claimed, and then with its DELETEs
    atlas: AtlasReader  #: of its project
    canceller: AtlasCanceller
    runner: "Runner"
    judgement: Judgement | None = None  #: why the request waits for approvals again, if it does
    job: RestoreJob | None = None  #: as it was read last

    def __post_init__(self) -> None:
        self.store = self.runner.store  # records each DELETE and its answer under the lease
        self.timings, self.monotonic = self.runner.timings, self.runner.monotonic
        self._deadline = self.monotonic() + self.timings.run_timeout
        self._backoff = chain(READ_BACKOFF, repeat(READ_BACKOFF[-1]))
        self._check_backoff = chain(CHECK_BACKOFF, repeat(CHECK_BACKOFF[-1]))
        self._report_check_at = 0.0  # set at the first failure
        self._people: Mapping[str, Person] | RightsNotChecked = {}
        self._people_read_at = -math.inf
        self._delete_error: AtlasError | None = None  # of the last DELETE that failed
        self._recorded: RestoreJob | None = None  # as it was read for the record last
        # When the last read began, and the last recorded one: the first DELETE waits for no record.
        self.read_at = self._recorded_at = self.store.now()
        self._recording: asyncio.Task[Request] | None = None  # of the last DELETE's answer
        self.retry_at = self.monotonic()  # earliest moment that Atlas's Retry-After allows

    async def execute(self) -> Ending:
        """GET the job; DELETE it while it matches what was shown; repeat until the result is known.

        Before each DELETE the requester and the approvals are judged by the current policy. While
        Slack does not answer, nothing is sent and the job is read again.

        Raises `CancellationError` if another runner holds the request, or the database does not
        answer. The next owner starts with a GET.
        """
        not_found = 0
        while True:
            began = self.store.now()
            try:
                self.job = job = await self._read_job()
            except AtlasError as error:
                self.retry_at = max(self.retry_at, self.monotonic() + (error.retry_after or 0.0))
                not_found += 1
                is_early = not_found < ENOUGH_NOT_FOUND and self.monotonic() < self._deadline
                if error.status == HTTPStatus.NOT_FOUND and is_early:
                    await self._wait_before_read()
                    continue
                return self._result_of_failed_read(error.of_known_job())
            not_found, self.read_at = 0, began
            step = next_step(self.request.shown, self.request.sent, job)
            if result := self._result(step, job):
                return result
            await self._record_read(job)
            if step is Step.SEND:
                try:
                    judgement = await self._judge()
                except RightsNotChecked as error:
                    await self._wait_for_slack(error)
                    continue
                if not judgement.allows_delete:
                    self.judgement = judgement
                    return self._result_of_judgement(judgement)
                await self._send_delete()
            await self._wait_before_read()

    async def _read_job(self) -> RestoreJob:
        """Read the job; while Atlas answers, read the people or record the DELETE's answer."""
        timeout = max(self._deadline - self.monotonic(), self.timings.final_read_timeout)
        reading = self.atlas.restore_job(self.request.ref, timeout=timeout)
        if not self.request.sent.count:
            job, _ = await asyncio.gather(reading, self._read_people())
            return job
        try:
            return await reading
        finally:
            if self._recording:
                self.request = await self._recording

    async def _read_people(self) -> None:
        began = self.monotonic()
        try:
            self._people = await self.runner.rights.people_of(self.request)
        except RightsNotChecked as error:
            self._people, began = error, self.monotonic()  # a slow error is not asked for twice
        self._people_read_at = began  # that of the answer: beside a failed GET it may come late

    async def _judge(self) -> Judgement:
        """Judge by the people that were read beside the job, or now if that was too long ago."""
        if self._people_are_old:
            await self._read_people()
        if isinstance(self._people, RightsNotChecked):
            raise self._people
        if self._people_are_old:
            raise RightsNotChecked(SLOW_SLACK)
        return await self.runner.rights.judge(self.request, self._people)

    @property
    def _people_are_old(self) -> bool:
        return self.monotonic() - self._people_read_at > self.timings.people_max_age

    def _result(self, step: Step, job: RestoreJob) -> Ending | None:
        """Return the result of the run, or None to continue."""
        sent, error = self.request.sent, self._delete_error
        ends = {
            Step.CANCELLED: CONFIRMED,
            Step.OVER: sentence_when_over(sent, job),
            Step.CHANGED: ANOTHER_JOB,
        }
        if step in ends:
            return Ending.explained(State(step.value), ends[step])
        if step is Step.SEND and isinstance(error, AtlasRejected):
            return ending_with(State.REFUSED, error)
        # A Retry-After past the deadline ends the run now.
        if not sent.count or max(self.monotonic(), self.retry_at) < self._deadline:
            return None
        if error and not sent.accepted:
            return ending_with(State.FAILED, error, JOB_STILL_THERE)
        known = ACCEPTED_BUT_NOT_CANCELLED if sent.accepted else SENT_BUT_NOT_CANCELLED
        return Ending.explained(State.FAILED, known.format(state=job.state.sentence))

    def _result_of_failed_read(self, read_error: AtlasError) -> Ending:
        """Return the result; `refused` is certain only if no DELETE may have taken effect."""
        if self.request.sent.may_have_taken_effect:
            return ending_with(State.FAILED, read_error, SENT_BUT_UNREADABLE)
        for error in (read_error, self._delete_error):
            if isinstance(error, AtlasRejected):
                is_lost = self.request.by_bot and error.status == HTTPStatus.NOT_FOUND
                return ending_with(State.FAILED if is_lost else State.REFUSED, error)
        return ending_with(State.FAILED, read_error, NOTHING_DONE)

    def _result_of_judgement(self, judgement: Judgement) -> Ending:
        """Return the result of a run that the current policy does not allow."""
        done = NOTHING_MORE_SENT if self.request.sent.count else NOTHING_DONE
        because = judgement.refusal or APPROVALS_MISSING
        return judgement.instead or Ending.explained(State.AWAITING, f"{done} {because}")

    async def _record_read(self, job: RestoreJob) -> None:
        """Record a link once, as a later read may show no trace of it, and at times each read."""
        is_new = job.state is not JobState.IN_PROGRESS and job != self._recorded
        if is_new or self.read_at >= self._recorded_at + READ_STEP:
            await self.store.record_read(self.request, job, self.read_at)
            self._recorded, self._recorded_at = job, self.read_at

    async def _send_delete(self) -> None:
        """Record the attempt, send one DELETE, begin to record its answer."""
        unknown_before = self.request.sent.unknown
        self.request = await self.store.record_delete_sent(self.request)
        sent = replace(self.request.sent, unknown=unknown_before)
        try:
            status = await self.canceller.cancel_restore_job(self.request.ref)
        except AtlasError as error:
            self._delete_error = error
            self.retry_at = self.monotonic() + (error.retry_after or 0.0)
            sent = replace(sent, unknown=sent.unknown or error.may_have_taken_effect)
            answer = {"status": error.status, "code": error.code, "error": type(error).__name__}
        else:
            self._backoff = chain(READ_BACKOFF, repeat(READ_BACKOFF[-1]))
            sent = replace(sent, accepted=True)
            answer = {"status": status, "code": None}
        recording = self.store.record_delete_answer(self.request, sent, answer, self.read_at)
        self._recording, self._recorded_at = asyncio.create_task(recording), self.read_at

    async def _wait_for_slack(self, error: RightsNotChecked) -> None:
        """Wait for the next check of rights; report a lasting failure once."""
        now, pause = self.monotonic(), max(next(self._check_backoff), error.retry_after)
        self._report_check_at = self._report_check_at or now + CHECK_REPORT_DELAY
        if self._report_check_at < now + pause:  # the next check is too late for it
            self._report_check_at = math.inf
            await self.store.record_check_failed(self.request, error.why)
        await self.runner.sleep(pause)
        self._deadline = self.monotonic() + self.timings.run_timeout  # Atlas is not to blame

    async def _wait_before_read(self) -> None:
        """Wait for the backoff, or for Atlas's Retry-After if that ends before the deadline."""
        now = self.monotonic()
        retry_after = self.retry_at - now if self.retry_at < self._deadline else 0.0
        remaining = max(0.0, self._deadline - now)
        await self.runner.sleep(min(max(next(self._backoff), retry_after), remaining))


@dataclass(eq=False)
class Runner:
    """Runs requests in supervised tasks, at most one task per request in this process."""

    store: LeaseStore  #: claims and settles requests
    projects: Projects
    rights: RightsCheck  #: judges each request before its DELETE
    canceller_of: Callable[[Project], AtlasCanceller]
    _: KW_ONLY
    timings: Timings = DEFAULT_TIMINGS
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_RUNS)

    def start(self, request_id: str) -> None:
        """Start a run in the background, unless this process runs the request already."""
        if request_id not in self._tasks:
            task = asyncio.create_task(self._supervise(request_id), name=f"run {request_id}")
            self._tasks[request_id] = task
            task.add_done_callback(lambda _task: self._tasks.pop(request_id))

    async def stop(self, seconds: float) -> None:
        """Wait up to `seconds` for the runs; cancel the rest and release their leases."""
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=self.timings.lease_release_timeout)

    async def _supervise(self, request_id: str) -> None:
        # After an error the lease runs out; the sweeper of some replica starts the request again.
        with bind_to_log(request_id), log_errors("run interrupted"):
            await self.run(request_id)

    async def run(self, request_id: str) -> None:
        """Claim one request when a slot is free, and run it to its end."""
        async with self._slots:
            if (request := await self.store.claim(request_id)) is None:
                return
            renewal = asyncio.create_task(self._renew_lease(request_id))
            try:
                await self._execute_and_settle(request)
            except asyncio.CancelledError:
                await self.store.renew(request_id, 0)  # another runner may claim it immediately
                raise
            finally:
                renewal.cancel()

    async def _execute_and_settle(self, request: Request) -> None:
        project = self.projects.get_or_none(request.ref.project_id)
        if project is None:
            await self.store.settle(request, State.FAILED, Outcome(sentence=UNKNOWN_PROJECT))
            return
        canceller = self.canceller_of(project)
        run = Run(request=request, atlas=project.atlas, canceller=canceller, runner=self)
        end = await run.execute()
        retry_after = run.retry_at - self.monotonic()
        again_at = try_again_at(request.ref, self.store.now(), retry_after)
        request = replace(run.request, grace_ends_at=again_at)
        end = after_fault(request, end, again_at)
        await self.store.settle(
            request, end.state, end.outcome, run.judgement, job=run.job, read_at=run.read_at
        )

    async def _renew_lease(self, request_id: str) -> None:
        while True:
            await self.sleep(self.timings.lease_renewal_interval)
            try:
                if not await self.store.renew(request_id):
                    return
            except CancellationError as error:
                log.warning("lease not renewed", why=str(error))


def ending_with(state: State, error: AtlasError, prefix: str = "") -> Ending:
    """Return the ending with the sentence, status and code of an error of Atlas (pure)."""
    sentence = f"{prefix} {error}".strip()
    return Ending(state, Outcome(sentence=sentence, status=error.status, code=error.code))


def sentence_when_over(sent: DeleteAttempts, job: RestoreJob) -> str:
    """Say how a job that is over ended (pure)."""
    is_both = job.cancelled and job.failed
    if is_both and sent.may_have_taken_effect:
        return CANCELLED_AND_FAILED
    ended = ENDED_OTHERWISE if sent.count else ENDED
    return ended.format(state="It reads cancelled and failed." if is_both else job.state.sentence)
