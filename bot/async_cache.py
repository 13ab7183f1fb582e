"""Caches the results of async loads, one load a key at a time."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from bot.tasks import cancel_and_wait

K = TypeVar("K")
V = TypeVar("V")

MAX_ENTRIES = 5000  #: entries above which those older than `EXPIRY` seconds are removed
EXPIRY = 600.0


@dataclass(frozen=True, slots=True)
class Load(Generic[V]):
    """A load that runs or succeeded, and when it began."""

    task: asyncio.Task[V]
    began: float


@dataclass(eq=False)
class AsyncCache(Generic[K, V]):
    """Values by key. Errors of `load` other than `keep_on` remove an older value."""

    load: Callable[[K], Coroutine[Any, Any, V]]
    monotonic: Callable[[], float]
    keep_on: type[BaseException] = Exception
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

    def get_stored(self, key: K, *, max_age: float = math.inf) -> V | None:
        """Return the stored value without loading, or None if it is older than `max_age`."""
        entry = self._fresh_entry(key, max_age)
        return entry.task.result() if entry else None

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
        if load.task.cancelled():
            return
        if error := load.task.exception():
            if not isinstance(error, self.keep_on):
                self._entries.pop(key, None)
            return
        if len(self._entries) >= MAX_ENTRIES:
            self._entries = {k: e for k, e in self._entries.items() if self._fresh_entry(k, EXPIRY)}
        self._entries[key] = load
