"""Tells whoever listens that something changed, so that nobody has to poll."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One change.

    `kind`: message, message_changed, message_deleted, ephemeral, view, view_closed, home, call,
    act (a payload is about to be sent), payload (it was answered), socket, complaint.
    """

    kind: str
    data: dict[str, Any]
    at: float


class News:
    """A board of changes with any number of listeners."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._listeners: list[Callable[[Item], None]] = []

    def tell(self, kind: str, **data: object) -> None:
        item = Item(kind=kind, data=data, at=self._clock())
        for listener in tuple(self._listeners):
            listener(item)

    def subscribe(self, listener: Callable[[Item], None]) -> Callable[[], None]:
        """Calls `listener` with each item from now on; the returned function ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def until(self, predicate: Callable[[], T], seconds: float = 5.0) -> T:
        """Waits until `predicate()` is true and returns what it gave.

        It is asked again after each change, never on a timer.

        Raises:
            TimeoutError: it was still false after `seconds`.
        """
        changed = asyncio.Event()
        unsubscribe = self.subscribe(lambda _item: changed.set())
        try:
            async with asyncio.timeout(seconds):
                while not (value := predicate()):
                    await changed.wait()
                    changed.clear()
                return value
        except TimeoutError:
            raise TimeoutError(f"Not true within {seconds:g} s.") from None
        finally:
            unsubscribe()
