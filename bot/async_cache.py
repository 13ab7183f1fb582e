"""Keeps answers for a while: one question in flight a key, and the last answer while it is slow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from bot.atlas import AtlasUnavailable, TimedOut
from bot.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

K = TypeVar("K")
V = TypeVar("V")

#: Seconds after which an answer is of no use to anybody.
TOO_OLD = 600.0

#: Answers to keep at most; beyond that the old ones go.
MANY = 5000


@dataclass(frozen=True, slots=True)
class Kept(Generic[V]):
    """An answer, and when the question was asked."""

    value: V
    at: float


class AsyncCache(Generic[K, V]):
    """Answers by key; failures are not kept.

    Args:
        ask: asks for a key's answer.
        monotonic: seconds that never jump.
    """

    def __init__(
        self, ask: Callable[[K], Coroutine[Any, Any, V]], monotonic: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._kept: dict[K, Kept[V]] = {}
        self._asking: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, *, age: float, patience: float, stale: bool = False) -> V:
        """Return an answer that is at most `age` seconds old.

        Args:
            key: what is asked.
            age: seconds.
            patience: seconds to wait; the question goes on, and the next one finds its answer.
            stale: return an older answer rather than none.

        Raises:
            TimedOut: there is no answer yet.
            AtlasError, CancellationError: what asking raised.
        """
        if (kept := self._kept.get(key)) and self._monotonic() - kept.at <= age:
            return kept.value
        try:
            async with asyncio.timeout(patience):
                return await asyncio.shield(self._asking.get(key) or self._start(key))
        except (TimeoutError, AtlasUnavailable) as error:
            if stale and (old := self._kept.get(key)):
                return old.value
            raise TimedOut if isinstance(error, TimeoutError) else error from error

    def known(self) -> Iterator[tuple[K, V]]:
        """Go through what is kept, however old."""
        yield from ((key, kept.value) for key, kept in self._kept.items())

    async def close(self) -> None:
        """Ask no more."""
        await cancel_and_wait(*self._asking.values())

    def _start(self, key: K) -> asyncio.Task[V]:
        at = self._monotonic()
        task = asyncio.create_task(self._ask(key))
        self._asking[key] = task
        task.add_done_callback(lambda done: self._done(key, done, at))
        return task

    def _done(self, key: K, task: asyncio.Task[V], at: float) -> None:
        self._asking.pop(key, None)
        if task.cancelled():
            return
        if error := task.exception():
            if not isinstance(error, AtlasUnavailable):
                self._kept.pop(key, None)  # a definite no: the old answer is wrong now
            return
        self._forget_old()
        self._kept[key] = Kept(task.result(), at)

    def _forget_old(self) -> None:
        if len(self._kept) < MANY:
            return
        now = self._monotonic()
        self._kept = {key: kept for key, kept in self._kept.items() if now - kept.at < TOO_OLD}
