"""Supervised background tasks and loops, whose errors are logged."""

import asyncio
import secrets
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog

#: Reports a failed task to the person who waits for it, with the reference of its log line.
OnFailure = Callable[[str], Awaitable[object]]

REPORT_TIMEOUT = 0.8  #: seconds at the end of `drain` in which cancelled tasks may still report

log = structlog.get_logger(__name__)


@contextmanager
def log_errors(event: str, **place: object) -> Iterator[None]:
    """Log an error within the context as `event`, and suppress it."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "sentence"):  # for people: it says all, and needs no traceback
            log.warning(event, why=str(error), **place)
        else:
            log.exception(event, **place)


async def repeat(
    work: Callable[[], Awaitable[object]],
    interval: float,
    event: str,
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Do `work` until cancelled, with pauses of `interval` seconds; log its errors as `event`."""
    while True:
        with log_errors(event):
            await work()
        await sleep(interval)


class Supervisor:
    """Runs background loops: one that fails is logged, in `failed`, and soon started again."""

    def __init__(
        self, pause: float, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._pause, self._sleep = pause, sleep
        self.failed: set[str] = set()  #: the names of the loops that do not run

    async def run(self, loop: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
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

    def check(self) -> str | None:
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
        reference = secrets.token_hex(4)
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
