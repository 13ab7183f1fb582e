"""Runs transactions in threads.

Work is a plain function of a connection, so that a transaction needs one switch to a thread instead
of one for each statement.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, copy_context
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from bot.cancellation import errors

T = TypeVar("T")
#: The execution option of transactions that take SQLite's write lock at their start.
WRITES = "cancel_restore_writes"


class CommitGuard:
    """Decides whether a transaction commits or is abandoned, whichever comes first.

    Once the commit is sent, only the database knows the result. The transaction runs in another
    thread, so a lock orders the two: one that is abandoned before its commit never commits.
    """

    def __init__(self) -> None:
        self.committing = False
        self.abandoned = False
        self._end: Callable[[], None] | None = None
        self._lock = Lock()

    def begin_commit(self) -> None:
        """Allow the commit; raises `NotRecorded` if the transaction was abandoned."""
        with self._lock:
            if self.abandoned:
                raise errors.NotRecorded
            self.committing = True

    def ends_by(self, end: Callable[[], None] | None) -> None:
        """Set what ends the thread's statement; raises `NotRecorded` as above."""
        with self._lock:
            self._end = end
            if end and self.abandoned:
                raise errors.NotRecorded

    def abandon(self) -> None:
        """Forbid the commit, unless it was sent already, and end what the thread waits for."""
        with self._lock:
            self.abandoned = True
            if self._end:
                self._end()


#: The guard of the transaction that runs in this thread.
GUARD: ContextVar[CommitGuard] = ContextVar("GUARD")


class Executor:
    """A database, with threads of its own."""

    def __init__(self, engine: Engine, threads: int) -> None:
        self.engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="database")

    async def run(
        self,
        work: Callable[[Connection], T],
        options: Mapping[str, Any],
        guard: CommitGuard | None = None,
    ) -> T:
        """Run `work` on a connection with these execution options, and roll back what is open.

        A cancelled caller abandons the transaction, and does not wait for its thread.
        """
        guard = guard or CommitGuard()

        def in_thread() -> T:
            GUARD.set(guard)
            with self.opened(), self.engine.connect().execution_options(**options) as connection:
                return work(connection)

        # The caller's context variables, for log lines and spans.
        in_context = partial(copy_context().run, in_thread)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, in_context)
        except asyncio.CancelledError:
            guard.abandon()
            raise

    def opened(self) -> AbstractContextManager[None]:
        """Return what surrounds a transaction in its thread."""
        return nullcontext()

    def problem(self) -> str | None:
        """Return why nothing can be written, as far as it shows without a transaction."""
        return None

    async def close(self) -> None:
        # Shielded: a cancelled caller would leave connections open.
        await asyncio.shield(asyncio.to_thread(self._close))

    def _close(self) -> None:
        self._threads.shutdown(cancel_futures=True)  # waits for what runs
        self.engine.dispose()
