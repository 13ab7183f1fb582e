"""Supervised background tasks, whose errors are logged, and a cache of async loads."""

import asyncio
import math
import secrets
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

import structlog

from bot.cancellation.errors import CancellationError, MaybeRecorded

#: Reports a failed task to the person who waits for it, with the reference of the log line.
OnFailure = Callable[[str], Awaitable[object]]

Loop: TypeAlias = Callable[[], Coroutine[Any, Any, None]]  #: starts a loop; a failed one again

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
REPORT_TIMEOUT = 0.8  #: seconds at the end of `drain` in which cancelled tasks may still report
MAX_ENTRIES = 5000  #: entries of a cache above which those older than `EXPIRY` seconds are removed
EXPIRY = 600.0

log = structlog.get_logger(__name__)


def new_reference() -> str:
    """Return a random id that a person can quote and an operator can find in the log."""
    return secrets.token_hex(4)


@contextmanager
def log_errors(event: str, **place: object) -> Iterator[None]:
    """Log an error within the context as `event`, and suppress it."""
    try:
        yield
    except CancellationError as error:  # of a request: it needs no traceback
        log.warning(event, why=str(error), **place)
    except Exception:
        log.exception(event, **place)


async def repeat(
    work: Callable[[], Awaitable[float | None]],
    interval: float,
    event: str,
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Do `work` until cancelled, with pauses of `interval` seconds; log its errors as `event`.

    The work may return further seconds to wait.
    """
    while True:
        more = None
        with log_errors(event):
            more = await work()
        await sleep(interval + (more or 0.0))


class Supervisor:
    """Runs background loops: one that fails is logged, in `failed`, and soon started again."""

    def __init__(
        self, pause: float, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._pause, self._sleep = pause, sleep
        self.failed: set[str] = set()  #: the names of the loops that do not run

    async def run(self, loop: Loop, name: str) -> None:
        """Run a loop until it returns, or this task is cancelled."""
        while True:
            try:
                return await loop()
            except (Exception, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                # Else the loop waited for a task that was cancelled.
                if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
                    raise
                log.exception("background loop failed: it is started again", loop=name)
            self.failed.add(name)
            try:
                await self._sleep(self._pause)
            finally:
                self.failed.discard(name)

    async def check(self) -> str | None:
        """Return a sentence for `/readyz` while a loop does not run."""
        names = ", ".join(sorted(self.failed))
        return f"Stopped after an error, and soon started again: {names}." if names else None


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until all have ended; their results and errors are discarded."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def wait_up_to(seconds: float, event: asyncio.Event) -> None:
    """Wait until the event is set, but no longer than `seconds`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def stop_event() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


class InFlight:
    """Counts answers in flight, each from `begin` to `end`."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self) -> None:
        self._count += 1
        self._idle.clear()

    def end(self) -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def wait_until_idle(self, seconds: float) -> None:
        """Wait up to `seconds` until nothing is in flight."""
        await wait_up_to(seconds, self._idle)


class BackgroundTasks:
    """Runs fire-and-forget tasks, and logs every error of theirs."""

    def __init__(self) -> None:
        # asyncio keeps weak references only: without this set a task may be garbage-collected.
        self.tasks: set[asyncio.Task[None]] = set()
        self._cancelled_by_drain: set[asyncio.Task[Any] | None] = set()

    def start(
        self, work: Coroutine[Any, Any, Any], name: str, on_failure: OnFailure | None = None
    ) -> asyncio.Task[None]:
        """Start `work`; if it fails, log the error and call `on_failure` with its reference."""
        task = asyncio.create_task(self._supervise(work, name, on_failure), name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def drain(self, seconds: float) -> None:
        """Wait up to `seconds` in all for the running tasks; cancel the rest before the end."""
        last = min(REPORT_TIMEOUT, seconds / 2)
        for timeout in (seconds - last, last):
            if self.tasks:
                await asyncio.wait(self.tasks, timeout=timeout)
            self._cancelled_by_drain |= self.tasks
            for task in self.tasks:
                task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _supervise(
        self, work: Coroutine[Any, Any, Any], name: str, on_failure: OnFailure | None
    ) -> None:
        reference = new_reference()
        try:
            await work
        except asyncio.CancelledError:
            if asyncio.current_task() not in self._cancelled_by_drain:
                raise  # cancelled by its starter, who needs no report
            log.warning("cancelled at shutdown", task=name, reference=reference)
            await _report(on_failure, reference)
            raise
        except Exception:
            log.exception("background work failed", task=name, reference=reference)
            await _report(on_failure, reference)


async def _report(on_failure: OnFailure | None, reference: str) -> None:
    if on_failure is None:
        return
    try:
        await on_failure(reference)
    except Exception:
        log.exception("failure not reported", reference=reference)


async def run_until_deadline(
    work: Coroutine[Any, Any, T], background: BackgroundTasks, seconds: float
) -> T:
    """Return what `work` returns; raise `MaybeRecorded` if it takes longer than `seconds`."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        return task.result()
    background.start(_wait_for(task), "late answer")  # it may be committing
    raise MaybeRecorded


async def _wait_for(task: asyncio.Future[Any]) -> None:
    """Wait for the task without its error, since the person has an uncertain answer already."""
    await asyncio.gather(task, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Load(Generic[V]):
    """A load that runs or succeeded, and when it began."""

    task: asyncio.Task[V]
    began: float


@dataclass(eq=False)
class AsyncCache(Generic[K, V]):
    """Values by key; an error of `load` removes no older one."""

    load: Callable[[K], Coroutine[Any, Any, V]]
    monotonic: Callable[[], float]
    _entries: dict[K, Load[V]] = field(default_factory=dict, init=False)
    _loads: dict[K, Load[V]] = field(default_factory=dict, init=False)

    async def get(self, key: K, *, max_age: float, timeout: float, since: float = -math.inf) -> V:
        """Return a value that is at most `max_age` seconds old and was not loaded before `since`.

        `since` is a time of `monotonic`. Raises `TimeoutError` after `timeout` seconds, and what
        the load raised. The load goes on after a timeout, so that the next call finds its value.
        """
        entry = self._fresh_entry(key, max_age)
        if entry and entry.began >= since:
            return entry.task.result()
        async with asyncio.timeout(timeout):
            while (load := self._loads.get(key)) and load.began < since:
                await asyncio.wait({load.task})  # it may give what was true before `since`
            return await asyncio.shield((load or self._start(key)).task)

    async def close(self) -> None:
        await cancel_and_wait(*(load.task for load in self._loads.values()))

    def _fresh_entry(self, key: K, max_age: float) -> Load[V] | None:
        entry = self._entries.get(key)
        return entry if entry and self.monotonic() - entry.began <= max_age else None

    def _start(self, key: K) -> Load[V]:
        load = Load(asyncio.create_task(self.load(key)), self.monotonic())
        self._loads[key] = load
        load.task.add_done_callback(lambda _: self._store(key, load))
        return load

    def _store(self, key: K, load: Load[V]) -> None:
        self._loads.pop(key, None)
        if load.task.cancelled() or load.task.exception():
            return
        if len(self._entries) >= MAX_ENTRIES:
            self._entries = {k: e for k, e in self._entries.items() if self._fresh_entry(k, EXPIRY)}
        self._entries[key] = load
