"""Caches results of async loads: one load per key at a time, failures are not stored."""

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bot.tasks import cancel_and_wait

K = TypeVar("K")
V = TypeVar("V")

#: Entries above which those older than `EXPIRY` seconds are removed.
MAX_ENTRIES = 5000
EXPIRY = 600.0


@dataclass(frozen=True, slots=True)
class Entry(Generic[V]):
    """A loaded value, and when its load began."""

    value: V
    loaded_at: float


@dataclass(frozen=True, slots=True)
class Load(Generic[V]):
    """A running load, and when it began."""

    task: asyncio.Task[V]
    began: float


class AsyncCache(Generic[K, V]):
    """Values by key. Errors of `load` other than `keep_on` remove an older value."""

    def __init__(
        self,
        load: Callable[[K], Coroutine[Any, Any, V]],
        monotonic: Callable[[], float],
        *,
        keep_on: type[BaseException] = Exception,
    ) -> None:
        self._load = load
        self._monotonic = monotonic
        self._keep_on = keep_on
        self._entries: dict[K, Entry[V]] = {}
        self._loads: dict[K, Load[V]] = {}

    async def get(self, key: K, *, max_age: float, timeout: float, since: float = -math.inf) -> V:
        """Return a value that is at most `max_age` seconds old and was not loaded before `since`.

        Raises `TimeoutError` after `timeout` seconds, and what the load raised. The load goes on
        after a timeout, so that the next call finds its value.
        """
        entry = self._entries.get(key)
        if entry and self._monotonic() - entry.loaded_at <= max_age and entry.loaded_at >= since:
            return entry.value
        async with asyncio.timeout(timeout):
            while (load := self._loads.get(key)) and load.began < since:
                await asyncio.wait({load.task})  # it may give what was true before `since`
            return await asyncio.shield((load or self._start(key)).task)

    def get_stored(self, key: K, *, max_age: float = math.inf) -> V | None:
        """Return the stored value without loading, or None if it is older than `max_age`."""
        entry = self._entries.get(key)
        fresh = entry and self._monotonic() - entry.loaded_at <= max_age
        return entry.value if entry and fresh else None

    def items(self) -> Iterator[tuple[K, V]]:
        """Iterate over the stored values, however old."""
        yield from ((key, entry.value) for key, entry in self._entries.items())

    async def close(self) -> None:
        """Cancel all loads."""
        await cancel_and_wait(*(load.task for load in self._loads.values()))

    def _start(self, key: K) -> Load[V]:
        load = Load(asyncio.create_task(self._load(key)), self._monotonic())
        self._loads[key] = load
        load.task.add_done_callback(lambda done: self._store(key, done, load.began))
        return load

    def _store(self, key: K, task: asyncio.Task[V], began: float) -> None:
        self._loads.pop(key, None)
        if task.cancelled():
            return
        if error := task.exception():
            if not isinstance(error, self._keep_on):
                self._entries.pop(key, None)
            return
        if len(self._entries) >= MAX_ENTRIES:
            self._remove_expired()
        self._entries[key] = Entry(task.result(), began)

    def _remove_expired(self) -> None:
        oldest = self._monotonic() - EXPIRY
        self._entries = {k: entry for k, entry in self._entries.items() if entry.loaded_at > oldest}
