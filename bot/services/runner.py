"""Runs approved requests: read, compare, judge, record, send, read back."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, repeat

import structlog

from bot.atlas import (
    AtlasCanceller,
    AtlasError,
    AtlasGateway,
    NotCancellable,
    Priority,
    RestoreJob,
)
from bot.cancellation.decisions import Judgement
from bot.cancellation.download import Download, Ended
from bot.cancellation.errors import NothingChanged, RightsNotChecked
from bot.cancellation.policy import Policy
from bot.cancellation.request import Ending, Outcome, Request, State
from bot.cancellation.run import (
    LONGEST_PAUSE,
    NextStep,
    Step,
    end_of_download,
    is_over_time,
    next_step,
)
from bot.log_config import bind_to_log
from bot.services.absence import Absence
from bot.services.projects import Project, Projects
from bot.services.rights import Rights
from bot.storage.lease import Lease, boot_time
from bot.storage.run_store import RunStore
from bot.tasks import cancel_and_wait, log_errors, wait_up_to

#: Seconds before each further read; the first read follows a DELETE at once. A link comes three
#: minutes after the start of a download, so that longer pauses would cost copies.
PAUSES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
LAST_PAUSE = 8.0  #: seconds before every read after these
READ_TIMEOUT = 10.0  #: seconds for one GET
#: Seconds from the begin of the transaction that records a DELETE to the DELETE.
SEND_WITHIN = 5.0
#: Seconds for which a judgement counts, with the time that the database takes.
JUDGEMENT_HOLDS = 25.0
SHOW_TROUBLE_AFTER = 10.0  #: seconds after the start of a run until the message says its fault
#: From the stored start of a run until a reply asks people to look.
CALL_PEOPLE_AFTER = timedelta(minutes=10)
POLL = 1.0  #: seconds between two looks for requests that another process has approved
STOP_WITHIN = 2.0  #: seconds in which the answer of an attempt that is out is awaited
NOT_CANCELLED_YET = "Atlas does not show the download as cancelled yet."
RIGHTS_NOT_CHECKED = "{why} The bot checks the rights of the people before it cancels."

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
        self._absence = Absence(
            self.gateway, self.request.ref, Priority.PERSON, self.runner.monotonic
        )
        self._refusal: NotCancellable | None = None  # of a DELETE, where none can have had effect
        self._has_tried = False  # whether this process has sent a DELETE
        self._fault: AtlasError | None = None  # of the last DELETE
        self._show_from = self.runner.monotonic() + self.runner.show_trouble_after
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
                if await self._absence.is_shown_by(error):
                    return await self._settle(Ending(State.OVER), is_gone=True)
                if ending := await self._ending_by_watch() or self._ending_of_reads(error):
                    return await self._settle(ending)
                await self._wait(error.fact, error.retry_after)
                continue
            self._absence.end()
            step = next_step(self.request, job, read_at)
            if ending := step.ending or self._ending_without_delete(step):
                return await self._settle(ending, job, read_at)
            await self._store_link(job, read_at)
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
            await self._wait(RIGHTS_NOT_CHECKED.format(why=error.why))
            return True
        if not judgement.allows_delete:
            await self._stop(judgement)
            return False
        self.is_sending = True
        try:
            fault = await self._send(judged_at)
        finally:
            self.is_sending = False
        if self.runner.is_stopping:
            return False
        self._fault = fault
        if fault:
            await self._wait(fault.fact, fault.retry_after)
        return True

    async def _send(self, judged_at: float) -> AtlasError | None:
        """Record the attempt, send the DELETE, record its answer; return a fault to wait for.

        Where recording took too long, or the process stops, nothing is sent, and the attempt counts
        as unknown.
        """
        before, began = self.request.attempts, self.runner.monotonic()
        self.request = await self.runs.record_sent(self.request)
        if not self._may_send(began, judged_at):
            return None
        self._has_tried = True
        try:
            status = await self.canceller.cancel_restore_job(self.request.ref)
        except AtlasError as error:
            is_unknown = before.is_unknown or error.may_have_taken_effect
            await self._record(error.status, error, is_unknown=is_unknown)
            return error if self._refusal is None else None
        await self._record(status, None, is_unknown=before.is_unknown)
        self._pauses = _new_pauses()
        next(self._pauses)  # the read-back follows at once
        return None

    def _may_send(self, began: float, judged_at: float) -> bool:
        """Whether the record is so young that no other process can have taken over since."""
        if self.runner.is_stopping:
            return False
        now = self.runner.monotonic()
        is_young = now - began <= SEND_WITHIN and now - judged_at <= JUDGEMENT_HOLDS
        if is_young and self.runner.lease.is_held:
            return True
        log.warning("DELETE not sent: recording it took too long", seconds=now - began)
        return False

    async def _record(
        self, status: int | None, error: AtlasError | None, *, is_unknown: bool
    ) -> None:
        """Record the answer to a DELETE, or that none came."""
        attempts = replace(self.request.attempts, is_unknown=is_unknown)
        if error is None:
            attempts = replace(attempts, accepted_at=self.runner.now())
        answer = {"status": status, "code": error.code if error else None}
        if error:
            answer["error"] = type(error).__name__
        self._refusal = None
        if isinstance(error, NotCancellable) and not attempts.may_have_taken_effect:
            self._refusal = error
        self.request = await self.runs.record_answer(self.request, attempts, answer)

    async def _ending_by_watch(self) -> Ending | None:
        """Return the end that the job's own flags showed another reader, or None.

        That Atlas has no such job is known only by the reads of this run.
        """
        download = await self.runs.download_of(self.request)
        if download.ended in {None, Ended.GONE}:
            return None
        return Ending(end_of_download(self.request, download))

    def _ending_of_reads(self, error: AtlasError) -> Ending | None:
        """Return the end of a run whose job cannot be read, or None to try again.

        The network of a host that has just started may need some seconds, so one read is no try.
        """
        has_tried = self.runner.monotonic() >= self._show_from
        return self._ending_of_time(error) if has_tried else None

    def _ending_without_delete(self, step: NextStep) -> Ending | None:
        """Return the end of a run whose job goes on, or None to try again."""
        if step.step is Step.SEND and self._refusal:
            return _refused(self._refusal)
        is_tried = self._has_tried or not step.may_send
        return self._ending_of_time(self._fault) if is_tried else None

    def _ending_of_time(self, error: AtlasError | None = None) -> Ending | None:
        if not is_over_time(self.request, self.runner.now()):
            return None
        last = error.fact if error else self.request.trouble or NOT_CANCELLED_YET
        status, code = (error.status, error.code) if error else (None, None)
        return Ending(State.FAILED, Outcome(error=last, status=status, code=code))

    async def _store_link(self, job: RestoreJob, read_at: datetime) -> None:
        """Store at once that a link exists: a later read may show no trace of it."""
        before, seen = self.download, self.download.observed(job, read_at)
        if (seen.has_link, seen.link_existed) != (before.has_link, before.link_existed):
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
        self,
        ending: Ending,
        job: RestoreJob | None = None,
        read_at: datetime | None = None,
        *,
        is_gone: bool = False,
    ) -> None:
        await self.runs.settle(
            self.request, ending, self.policy, job=job, read_at=read_at, is_gone=is_gone
        )

    async def _wait(self, trouble: str, retry_after: float | None = None) -> None:
        """Wait before the next try; what lasts is shown in time, also within a long pause."""
        now = self.runner.monotonic()
        until = now + min(max(next(self._pauses), retry_after or 0.0), LONGEST_PAUSE)
        show_at = max(now, self._show_from)
        is_long = self._is_long() and not self._called_people
        if show_at <= until and (is_long or trouble != self.request.trouble):
            await self.runner.sleep(show_at - now)
            await self._show(trouble, is_long=is_long)
        await self.runner.sleep(max(0.0, until - self.runner.monotonic()))

    def _is_long(self) -> bool:
        started_at = self.request.run_started_at
        return started_at is not None and self.runner.now() >= started_at + CALL_PEOPLE_AFTER

    async def _show(self, trouble: str, *, is_long: bool) -> None:
        self.request = await self.runs.record_trouble(
            self.request, trouble, self.policy, is_long=is_long
        )
        self._called_people = self._called_people or is_long


def _new_pauses() -> Iterator[float]:
    return chain(PAUSES, repeat(LAST_PAUSE))


def _refused(error: NotCancellable) -> Ending:
    outcome = Outcome(status=error.status, code=error.code, error=error.fact)
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
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    monotonic: Callable[[], float] = boot_time
    show_trouble_after: float = SHOW_TROUBLE_AFTER  #: seconds

    def __post_init__(self) -> None:
        self.is_stopping = False
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._runs: dict[str, Run] = {}
        self._wake = asyncio.Event()

    @property
    def is_sending(self) -> bool:
        """Whether a DELETE is out."""
        return any(run.is_sending for run in self._runs.values())

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
                log.info("request has changed meanwhile")

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
