"""Runs approved requests: read, compare, judge, record, send, read back."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from itertools import chain, repeat

import structlog

from bot.atlas import (
    AtlasCanceller,
    AtlasError,
    AtlasGateway,
    AtlasRejected,
    JobNotFound,
    Priority,
    RestoreJob,
)
from bot.cancellation.decisions import Judgement
from bot.cancellation.download import Download
from bot.cancellation.errors import NothingChanged, RightsNotChecked
from bot.cancellation.policy import Policy
from bot.cancellation.request import Ending, Outcome, Request, State
from bot.cancellation.run import LONGEST_PAUSE, Step, is_over_time, next_step
from bot.log_config import bind_to_log
from bot.services.projects import Project, Projects
from bot.services.rights import Rights
from bot.storage.lease import Lease, boot_time
from bot.storage.run_store import RunStore
from bot.tasks import cancel_and_wait, log_errors, wait_up_to

#: Seconds before each further read; the first read follows a DELETE at once.
PAUSES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
READ_TIMEOUT = 10.0  #: seconds for one GET
#: Seconds from the begin of the transaction that records a DELETE to the DELETE.
SEND_WITHIN = 5.0
#: Seconds for which a judgement counts, with the time that the database takes.
JUDGEMENT_HOLDS = 25.0
ENOUGH_NOT_FOUND = 5  #: 404s in a row: Atlas may show a new job only after some
SHOW_TROUBLE_AFTER = 10.0  #: seconds without progress until the message says what is tried
CALL_PEOPLE_AFTER = 600.0  #: seconds until a reply asks people to look
POLL = 1.0  #: seconds between two looks for requests that another process has approved
STOP_WITHIN = 3.0  #: seconds in which the answer of an attempt that is out is awaited
NOT_CANCELLED_YET = "Atlas accepted the DELETE and does not show the download as cancelled yet."

log = structlog.get_logger(__name__)


@dataclass(eq=False, kw_only=True)
class Run:
    """One run of one request, from the first GET to its end."""

    request: Request
    download: Download
    policy: Policy
    gateway: AtlasGateway
    canceller: AtlasCanceller
    runner: "Runner"
    is_sending: bool = field(default=False, init=False)  #: whether a DELETE is out

    def __post_init__(self) -> None:
        self.runs = self.runner.runs
        self._pauses = _new_pauses()
        self._not_found = 0
        self._refusal: AtlasRejected | None = None  # of the last DELETE
        self._stuck_since: float | None = None
        self._called_people = False

    async def execute(self) -> None:
        """Try until the download is over; raises `CancellationError` if that cannot be stored."""
        while True:
            read_at = self.runner.now()
            try:
                job = await self.gateway.job(
                    self.request.ref, Priority.CANCEL, timeout=READ_TIMEOUT
                )
            except AtlasError as error:
                if ending := self._ending_of_failed_read(error):
                    return await self._settle(ending)
                await self._wait(str(error), error.retry_after)
                continue
            self._not_found = 0
            await self._store_link(job, read_at)
            step = next_step(self.request, job)
            if step.step is Step.SEND and self._refusal:
                step = replace(step, ending=_refused(self._refusal))
            if ending := step.ending or self._ending_of_time():
                return await self._settle(ending, job, read_at)
            if step.step is Step.READ:
                await self._wait(NOT_CANCELLED_YET)
            elif not await self._judge_and_send():
                return None

    async def _judge_and_send(self) -> bool:
        """Send one DELETE if policy and people allow it; False if the run ends without it."""
        judged_at = self.runner.monotonic()
        try:
            judgement = await self.runner.rights.judge(
                self.request, self.download, self.policy, self.runner.now()
            )
        except RightsNotChecked as error:
            await self._wait(str(error))
            return True
        if not judgement.allows_delete:
            await self._stop(judgement)
            return False
        if self.runner.is_stopping:
            return False
        self.is_sending = True
        try:
            await self._send(judged_at)
        finally:
            self.is_sending = False
        return True

    async def _send(self, judged_at: float) -> None:
        """Record the attempt, send the DELETE, record its answer.

        Where recording took too long, nothing is sent, and the attempt counts as unknown.
        """
        was_unknown, began = self.request.attempts.is_unknown, self.runner.monotonic()
        self.request = await self.runs.record_sent(self.request)
        now = self.runner.monotonic()
        is_late = now - began > SEND_WITHIN or now - judged_at > JUDGEMENT_HOLDS
        if is_late or not self.runner.lease.is_held:
            log.warning("DELETE not sent: recording it took too long", seconds=now - began)
            return
        attempts = replace(self.request.attempts, is_unknown=was_unknown)
        try:
            status = await self.canceller.cancel_restore_job(self.request.ref)
        except AtlasError as error:
            unknown = was_unknown or error.may_have_taken_effect
            attempts = replace(attempts, is_unknown=unknown)
            self._refusal = error if isinstance(error, AtlasRejected) else None
            answer = {"status": error.status, "code": error.code, "error": type(error).__name__}
            pause = self._refusal is None
            wait = (str(error), error.retry_after)
        else:
            attempts = replace(attempts, is_accepted=True)
            answer, pause, wait = {"status": status, "code": None}, False, ("", None)
            self._pauses = _new_pauses()
            next(self._pauses)  # the read-back follows at once
        self.request = await self.runs.record_answer(self.request, attempts, answer)
        if pause:
            await self._wait(*wait)

    def _ending_of_failed_read(self, error: AtlasError) -> Ending | None:
        """Return the end of a run whose job cannot be read, or None to try again."""
        self._not_found = self._not_found + 1 if isinstance(error, JobNotFound) else 0
        is_lasting = self._not_found == 0 or self._not_found >= ENOUGH_NOT_FOUND
        is_refusal = isinstance(error, AtlasRejected) and is_lasting
        if is_refusal and not self.request.attempts.may_have_taken_effect:
            return _refused(self._refusal or error)
        return self._ending_of_time(error)

    def _ending_of_time(self, error: AtlasError | None = None) -> Ending | None:
        if not is_over_time(self.request, self.runner.now()):
            return None
        last = str(error) if error else self.request.trouble or NOT_CANCELLED_YET
        status, code = (error.status, error.code) if error else (None, None)
        return Ending(State.FAILED, Outcome(error=last, status=status, code=code))

    async def _store_link(self, job: RestoreJob, read_at: datetime) -> None:
        """Store at once that a link exists: a later read may show no trace of it."""
        seen = self.download.observed(job, read_at)
        if seen.has_link != self.download.has_link:
            self.download = await self.runs.record_read(self.request, job, read_at, self.policy)

    async def _stop(self, judgement: Judgement) -> None:
        """End the run that today's policy does not allow, or let its request wait again."""
        if judgement.is_read_only or judgement.has_lost_right:
            outcome = Outcome(
                is_read_only=judgement.is_read_only, lost_right=judgement.has_lost_right
            )
            await self._settle(Ending(State.WITHDRAWN, outcome))
        else:
            await self.runs.await_again(self.request, judgement, self.policy)

    async def _settle(
        self, ending: Ending, job: RestoreJob | None = None, read_at: datetime | None = None
    ) -> None:
        ended = await self.runs.settle(self.request, ending, self.policy, job=job, read_at=read_at)
        self.runner.on_end(ended, await self.runs.download_of(ended))

    async def _wait(self, trouble: str, retry_after: float | None = None) -> None:
        """Wait before the next try; what lasts is shown in time, also within a long pause."""
        now = self.runner.monotonic()
        until = now + min(max(next(self._pauses), retry_after or 0.0), LONGEST_PAUSE)
        self._stuck_since = self._stuck_since or now
        show_at = max(now, self._stuck_since + SHOW_TROUBLE_AFTER)
        if show_at <= until and trouble != self.request.trouble:
            await self.runner.sleep(show_at - now)
            await self._show(trouble, is_long=False)
        if self.runner.monotonic() >= self._stuck_since + CALL_PEOPLE_AFTER:
            await self._call_people(trouble)
        await self.runner.sleep(max(0.0, until - self.runner.monotonic()))

    async def _call_people(self, trouble: str) -> None:
        """Reply once in the thread that people should look."""
        if not self._called_people:
            self._called_people = True
            await self._show(trouble, is_long=True)

    async def _show(self, trouble: str, *, is_long: bool) -> None:
        self.request = await self.runs.record_trouble(
            self.request, trouble, self.policy, is_long=is_long
        )


def _new_pauses() -> Iterator[float]:
    return chain(PAUSES, repeat(LONGEST_PAUSE))


def _refused(error: AtlasError) -> Ending:
    outcome = Outcome(status=error.status, code=error.code, error=str(error))
    return Ending(State.REFUSED, outcome)


@dataclass(eq=False)
class Runner:
    """Runs each approved request in a task of its own; one request's error stops no other."""

    runs: RunStore
    projects: Projects
    rights: Rights
    canceller_of: Callable[[Project], AtlasCanceller]
    lease: Lease
    now: Callable[[], datetime]
    _: KW_ONLY
    on_end: Callable[[Request, Download], None] = lambda _request, _download: None
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    monotonic: Callable[[], float] = boot_time

    def __post_init__(self) -> None:
        self.is_stopping = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, Run] = {}
        self._wake = asyncio.Event()

    def start(self, request_id: str) -> None:
        """Start a run in the background, unless the request runs already."""
        if self.is_stopping or request_id in self._tasks:
            return
        task = asyncio.create_task(self._supervise(request_id), name=f"run {request_id}")
        self._tasks[request_id] = task
        task.add_done_callback(lambda _task: self._tasks.pop(request_id, None))

    def wake(self) -> None:
        """Look for approved requests now."""
        self._wake.set()

    async def run_all(self) -> None:
        """Start every request that must run, also those of a process that died."""
        while True:
            with log_errors("requests to run not read"):
                for request in await self.runs.running():
                    if self.projects.get_or_none(request.ref.project_id):
                        self.start(request.id)
            await wait_up_to(POLL, self._wake)
            self._wake.clear()

    async def stop(self) -> None:
        """Begin no attempt, record the answer of one that is out, and leave the rest."""
        self.is_stopping = True
        sending = [self._tasks[name] for name, run in self._runs.items() if run.is_sending]
        idle = [task for task in self._tasks.values() if task not in sending]
        await cancel_and_wait(*idle)
        if sending:
            await asyncio.wait(sending, timeout=STOP_WITHIN)
        await cancel_and_wait(*list(self._tasks.values()))

    async def _supervise(self, request_id: str) -> None:
        with bind_to_log(request_id), log_errors("run interrupted"):
            try:
                await self.run(request_id)
            except NothingChanged:
                log.info("request has ended already")

    async def run(self, request_id: str) -> None:
        """Run one request to its end; raises `CancellationError` where it cannot be stored."""
        request = await self.runs.begin(request_id)
        if request.state is not State.CANCELLING:
            return
        project = self.projects.get(request.ref.project_id)
        run = Run(
            request=request,
            download=await self.runs.download_of(request),
            policy=project.policies.of(request.ref.cluster_name),
            gateway=project.gateway,
            canceller=self.canceller_of(project),
            runner=self,
        )
        self._runs[request_id] = run
        try:
            await run.execute()
        finally:
            self._runs.pop(request_id, None)
