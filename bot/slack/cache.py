"""Remembers answers for a while, with one question in flight at a time for each key."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

K = TypeVar("K")
V = TypeVar("V")

#: Forget what is stale when there are more keys than this.
MANY = 1000


class Cache(Generic[K, V]):
    """Answers by key; failures are not remembered.

    Args:
        ask: asks for a key's answer.
        seconds: how long an answer holds.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        ask: Callable[[K], Coroutine[Any, Any, V]],
        seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._answers: dict[K, tuple[float, V]] = {}  # each with the time it came
        self._asking: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, patience: float, *, since: float = -math.inf) -> V:
        """Return the answer, asking anew if the one that is kept came before `since`.

        Raises:
            TimeoutError: there was none within `patience` seconds; or whatever `ask` raises.
        """
        kept = self._answers.get(key)
        if kept and self._holds(kept[0]) and kept[0] >= since:
            return kept[1]
        task = self._asking.get(key) or self._start(key)
        # The question goes on when this one stops waiting: the next click finds its answer.
        async with asyncio.timeout(patience):
            return await asyncio.shield(task)

    def kept(self, key: K) -> V | None:
        """Return the answer that is kept, or None when none holds any more."""
        came, answer = self._answers.get(key) or (-math.inf, None)
        return answer if self._holds(came) else None

    def _start(self, key: K) -> asyncio.Task[V]:
        task = asyncio.create_task(self._ask(key))
        self._asking[key] = task
        task.add_done_callback(lambda done: self._keep(key, done))
        return task

    def _keep(self, key: K, done: asyncio.Task[V]) -> None:
        self._asking.pop(key, None)
        if done.cancelled() or done.exception():
            return
        if len(self._answers) >= MANY:
            self._forget_stale()
        self._answers[key] = (self._clock(), done.result())

    def _holds(self, came: float) -> bool:
        return self._clock() < came + self._seconds

    def _forget_stale(self) -> None:
        self._answers = {k: kept for k, kept in self._answers.items() if self._holds(kept[0])}
