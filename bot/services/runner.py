"""Takes a request to its end: claim, GET and compare, DELETE, read back. Never a blind DELETE."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import chain, repeat
from typing import TYPE_CHECKING, Protocol, TypeAlias

import structlog

from bot.atlas import AtlasError, AtlasRejected, AtlasUnavailable
from bot.cancellation.errors import CancellationError
from bot.cancellation.lifecycle import DeleteAttempts, Outcome, State, Step, next_step
from bot.cancellation.request_context import bind_to_log
from bot.timings import Timings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from bot.atlas import JobRef, RestoreJob
    from bot.cancellation.lifecycle import Request
    from bot.cancellation.projects import Atlas, Projects
    from bot.cancellation.request_context import RequestTracer

#: Seconds after which no new attempt begins. With one DELETE and one read in flight at that moment
#: the person is told within 30 s of a lasting fault.
PATIENCE = 15.0

#: Seconds for the read after a DELETE, however late it is: it decides what may be said.
LAST_READ = 8.0

#: How many runs are under way at once. More would wait for each other's writes in the ledger until
#: their leases run out, and none would come to its end; so the others wait unclaimed, in order.
MAX_CONCURRENT_RUNS = 64

#: Seconds that claiming may take for a look that began beside it to count.
FRESH = 0.5

#: Seconds between two looks at a job whose DELETE was accepted, and after a DELETE that failed.
PAUSES = (0.25, 0.5, 1.0, 2.0, 4.0)

#: Seconds to give leases back at the end; where the database is away they run out by themselves.
RELEASE_TIMEOUT = 1.0

NOTHING_DONE = "Nothing was done."
HALF_KNOWN = "The cancellation was sent, but the job could not be read again, so look in Atlas."
STILL_THERE = "The job is still there."
STILL_SHOWN = (
    "Atlas accepted the cancellation, but still shows the job as {state}."
    " Look at it in Atlas, or try again."
)
UNKNOWN_PROJECT = (
    "The bot has no key for this project any more. Ask an admin of the bot, then try again."
)
GONE_BEFORE = "Nothing was sent: the restore job had ended before ({state})."
GONE_MEANWHILE = "The restore job ended meanwhile by other means ({state})."
ANOTHER_JOB = "Its type or its snapshot is not the one that was shown."
CONFIRMED = "Atlas confirms that the restore job is cancelled."

#: The steps that end a run, each with its sentence.
_ENDS: Mapping[Step, Callable[[DeleteAttempts, RestoreJob], str]] = {
    Step.CANCELLED: lambda _sent, _job: CONFIRMED,
    Step.OVER: lambda sent, job: (GONE_MEANWHILE if sent.count else GONE_BEFORE).format(
        state=job.state.value
    ),
    Step.CHANGED: lambda _sent, _job: ANOTHER_JOB,
}

log = structlog.get_logger(__name__)

#: A look at a job that is under way.
Look: TypeAlias = "asyncio.Task[RestoreJob]"


class Holds(Protocol):
    """What a runner asks of the ledger; `Leases` is the real one."""

    async def claim(self, request_id: str) -> Request | None: ...
    async def renew(self, request_id: str) -> bool: ...
    async def release(self, request_id: str) -> bool: ...
    async def cancel_sent(self, request: Request) -> Request: ...
    async def cancel_answered(
        self, request: Request, sent: DeleteAttempts, answer: Mapping[str, object]
    ) -> Request: ...
    async def settle(self, request: Request, state: State, outcome: Outcome) -> Request: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ends."""

    state: State
    outcome: Outcome


class Run:
    """One claimed request on its way to its end.

    Args:
        request: the request, as it was claimed.
        atlas: the client with the key to its project.
        holds: the ledger, as a runner sees it.
        first: a look at the job that is under way, to begin with; only where nothing was sent.
        sleep: waits seconds.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        request: Request,
        atlas: Atlas,
        holds: Holds,
        *,
        first: Look | None = None,
        sleep: Callable[[float], Awaitable[None]],
        monotonic: Callable[[], float],
    ) -> None:
        self.request = request
        self._atlas = atlas
        self._holds = holds
        self._first = first
        self._sleep = sleep
        self._monotonic = monotonic
        self._deadline = monotonic() + PATIENCE
        # The first look after a DELETE comes at once, whatever its answer.
        self._pauses = chain((0.0,), PAUSES, repeat(PAUSES[-1]))
        self._trouble: AtlasError | None = None  # what Atlas last said to a DELETE
        self._not_before = monotonic()  # until when Atlas asked for a pause
        self._noting: asyncio.Task[Request] | None = None  # of Atlas's last answer to a DELETE

    async def to_its_end(self) -> RunResult:
        """Look, act, and look again, until there is something certain to say.

        Raises:
            CancellationError: the request is another runner's by now, or the ledger is away;
                whoever claims it next begins with a look.
        """
        try:
            return await self._to_its_end()
        finally:
            await self._noted()

    async def _to_its_end(self) -> RunResult:
        while True:
            try:
                job = await self._look()
            except AtlasError as error:
                return self._unreadable(error)
            if ending := self._ending(job):
                return ending
            if next_step(self.request.shown, self.request.sent, job) is Step.SEND:
                await self._send()
            await self._pause()

    async def _look(self) -> RestoreJob:
        try:
            return await self._read()
        finally:
            await self._noted()  # whatever follows goes by what is written down

    async def _read(self) -> RestoreJob:
        if self._first:
            first, self._first = self._first, None
            return await first
        left = self._deadline - self._monotonic()
        patience = max(left, LAST_READ) if self.request.sent.count else left
        return await self._atlas.restore_job(self.request.ref, timeout=patience)

    def _ending(self, job: RestoreJob) -> RunResult | None:
        """Say how the run ends with this look at the job, or None to go on."""
        step = next_step(self.request.shown, self.request.sent, job)
        if step in _ENDS:
            sentence = _ENDS[step](self.request.sent, job)
            return RunResult(state=State(step.value), outcome=Outcome(sentence=sentence))
        if step is Step.SEND and isinstance(self._trouble, AtlasRejected):
            return _because(State.REFUSED, self._trouble)
        # Where Atlas wants a longer pause than there is time, there is no use in going on.
        if self.request.sent.count and max(self._monotonic(), self._not_before) >= self._deadline:
            return self._gave_up(job)
        return None

    async def _send(self) -> None:
        """Send one DELETE, written down before, and after it beside the next look."""
        before = self.request.sent
        self.request = await self._holds.cancel_sent(self.request)
        sent, answer = await self._delete(replace(self.request.sent, unknown=before.unknown))
        noting = self._holds.cancel_answered(self.request, sent, answer)
        self._noting = asyncio.create_task(noting, name=f"note of {self.request.id}")

    async def _noted(self) -> None:
        """Go on with what is written down; raises what the ledger says against it."""
        if self._noting:
            noting, self._noting = self._noting, None
            self.request = await noting

    async def _delete(self, sent: DeleteAttempts) -> tuple[DeleteAttempts, Mapping[str, object]]:
        try:
            accepted = await self._atlas.cancel_restore_job(self.request.ref)
        except AtlasError as error:
            self._trouble = error
            self._not_before = self._monotonic() + (getattr(error, "retry_after", None) or 0.0)
            may_have_worked = isinstance(error, AtlasUnavailable) and error.may_have_taken_effect
            answer = {"status": error.status, "code": error.code, "error": type(error).__name__}
            return replace(sent, unknown=sent.unknown or may_have_worked), answer
        self._trouble = None
        return replace(sent, accepted=True), {"status": accepted.status, "code": None}

    async def _pause(self) -> None:
        """Wait before the next look, as long as Atlas asks if that still fits."""
        now = self._monotonic()
        left = max(0.0, self._deadline - now)
        asked = self._not_before - now if self._not_before < self._deadline else 0.0
        await self._sleep(min(max(next(self._pauses), asked), left))

    def _unreadable(self, error: AtlasError) -> RunResult:
        """End a run whose job could not be read: a plain no is certain only before any DELETE."""
        if self.request.sent.may_have_worked:
            return _because(State.FAILED, error, HALF_KNOWN)
        for no in (self._trouble, error):
            if isinstance(no, AtlasRejected):
                return _because(State.REFUSED, no)
        return _because(State.FAILED, error, NOTHING_DONE)

    def _gave_up(self, job: RestoreJob) -> RunResult:
        if self.request.sent.accepted or self._trouble is None:
            sentence = STILL_SHOWN.format(state=job.state.value.replace("_", " "))
            return RunResult(state=State.FAILED, outcome=Outcome(sentence=sentence))
        return _because(State.FAILED, self._trouble, STILL_THERE)


def _because(state: State, error: AtlasError, before: str = "") -> RunResult:
    sentence = f"{before} {error}".strip()
    outcome = Outcome(sentence=sentence, status=error.status, code=error.code)
    return RunResult(state=state, outcome=outcome)


class Runner:
    """Runs requests in supervised tasks, each at most once in this process.

    Args:
        holds: the ledger, as a runner sees it.
        projects: whose key reaches which project.
        told: called after each end, so that the outcome is posted at once.
        trail: follows each run.
        renewal_interval: seconds between two renewals of a lease.
        sleep: waits seconds.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        holds: Holds,
        projects: Projects,
        *,
        told: Callable[[], None] = lambda: None,
        trail: RequestTracer = bind_to_log,
        renewal_interval: float = Timings.lease_renewal_interval,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._holds = holds
        self._projects = projects
        self._told = told
        self._trail = trail
        self._renewal_interval = renewal_interval
        self._sleep = sleep
        self._monotonic = monotonic
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(MAX_CONCURRENT_RUNS)

    def start(self, request_id: str, unsent: JobRef | None = None) -> None:
        """Begin now, unless this process is at it already."""
        if request_id not in self._tasks:
            running = self._supervised(request_id, unsent)
            task = asyncio.create_task(running, name=f"run {request_id}")
            self._tasks[request_id] = task
            task.add_done_callback(lambda _task: self._tasks.pop(request_id, None))

    async def stop(self, seconds: float) -> None:
        """Let what runs finish for `seconds`; then let go of it for another runner."""
        tasks = list(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=RELEASE_TIMEOUT)

    async def run(self, request_id: str, unsent: JobRef | None = None) -> None:
        """Claim one request when it is its turn, and take it to its end.

        Args:
            request_id: which.
            unsent: its job, where no DELETE was ever sent: looked at while it is being claimed.
        """
        async with self._turns, self._looking_at(unsent) as look:
            until = self._monotonic() + FRESH
            request = await self._holds.claim(request_id)
            if request:
                # Somebody's DELETE may be newer than a look from before the claim.
                counts = not request.sent.count and self._monotonic() <= until
                await self._run(request, look if counts else None)

    @asynccontextmanager
    async def _looking_at(self, ref: JobRef | None) -> AsyncIterator[Look | None]:
        """Have a look at a job under way; it is given up where nobody wants it any more."""
        project = self._projects.find(ref.project_id) if ref else None
        if not (ref and project):
            yield None
            return
        look = asyncio.create_task(project.atlas.restore_job(ref, timeout=PATIENCE))
        try:
            yield look
        finally:
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)

    async def _run(self, request: Request, look: Look | None) -> None:
        renewing = asyncio.create_task(self._renew(request.id))
        try:
            await self._settle(request, look)
        except asyncio.CancelledError:
            await self._holds.release(request.id)
            raise
        finally:
            renewing.cancel()
        self._told()

    async def _settle(self, request: Request, look: Look | None) -> None:
        project = self._projects.find(request.ref.project_id)
        if project is None:
            outcome = Outcome(sentence=UNKNOWN_PROJECT)
            await self._holds.settle(request, State.FAILED, outcome)
            return
        run = Run(
            request,
            project.atlas,
            self._holds,
            first=look,
            sleep=self._sleep,
            monotonic=self._monotonic,
        )
        ending = await run.to_its_end()
        await self._holds.settle(run.request, ending.state, ending.outcome)

    async def _supervised(self, request_id: str, unsent: JobRef | None) -> None:
        with self._trail("run", request_id):
            try:
                await self.run(request_id, unsent)
            except CancellationError as error:
                # The lease runs out, and the sweeper of some replica begins again with a look.
                log.warning("run interrupted", why=str(error))
            except Exception:
                log.exception("run broke off")

    async def _renew(self, request_id: str) -> None:
        while True:
            await self._sleep(self._renewal_interval)
            try:
                if not await self._holds.renew(request_id):
                    return
            except CancellationError as error:
                log.warning("lease not renewed", why=str(error))
