"""Work that goes on after an ack: supervised, held, awaited at shutdown."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import structlog

from bot.cancellation.request_context import bind_to_log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from bot.cancellation.request_context import RequestTracer

    #: Tells the person at the other end that it went wrong, and under which reference.
    Tell = Callable[[str], Awaitable[object]]

#: Seconds at the end for those whose work is cancelled: a word to the person who waits for it.
LAST_WORD = 0.8

log = structlog.get_logger(__name__)


def new_reference() -> str:
    """Make up an id that a person can quote and an operator can find in the log."""
    return secrets.token_hex(4)


class BackgroundTasks:
    """Runs tasks that nobody waits for, and loses none of their errors.

    Args:
        trail: follows each task.
    """

    def __init__(self, trail: RequestTracer = bind_to_log) -> None:
        self._trail = trail
        # asyncio itself holds a task only weakly: one that nobody holds may vanish half done.
        self._tasks: set[asyncio.Task[None]] = set()
        self._given_up: set[asyncio.Task[Any] | None] = set()

    def start(
        self, work: Coroutine[Any, Any, Any], name: str, tell: Tell | None = None
    ) -> asyncio.Task[None]:
        """Begin `work`; if it fails, log the error and `tell` the person its reference."""
        task = asyncio.create_task(self._supervised(work, name, tell), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self, seconds: float) -> None:
        """Wait for what is going on, and cancel the rest so that it can have its last word.

        All of it takes `seconds` at most.
        """
        last = min(LAST_WORD, seconds / 2)
        for share in (seconds - last, last):
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=share)
            self._given_up |= self._tasks
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def idle(self) -> bool:
        return not self._tasks

    async def _supervised(
        self, work: Coroutine[Any, Any, Any], name: str, tell: Tell | None
    ) -> None:
        with self._trail(name, None):
            try:
                await work
            except asyncio.CancelledError:
                if asyncio.current_task() not in self._given_up:
                    raise  # whoever started it wants it no more
                reference = new_reference()
                log.warning("cancelled at shutdown", task=name, reference=reference)
                await _told(tell, reference)
                raise
            except Exception:
                reference = new_reference()
                log.exception("background work failed", task=name, reference=reference)
                await _told(tell, reference)


async def _told(tell: Tell | None, reference: str) -> None:
    if tell is None:
        return
    try:
        await tell(reference)
    except Exception:
        log.exception("person could not be told", reference=reference)
