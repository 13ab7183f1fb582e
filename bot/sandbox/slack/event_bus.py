"""Publishes changes to listeners in this process, and to pages as server-sent events."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ChangeEvent:
    """One change.

    `kind`: message, message_changed, ephemeral, view, view_closed, call, action (before a payload
    is sent), payload (after its ack), socket, complaint.
    """

    kind: str
    data: dict[str, Any]
    at: float


class EventBus:
    """Calls each listener with each event."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._listeners: list[Callable[[ChangeEvent], None]] = []

    def publish(self, kind: str, **data: object) -> None:
        event = ChangeEvent(kind=kind, data=data, at=self._clock())
        for listener in tuple(self._listeners):
            listener(event)

    def subscribe(self, listener: Callable[[ChangeEvent], None]) -> Callable[[], None]:
        """Call `listener` with each event from now on; return a function that unsubscribes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def until(self, predicate: Callable[[], T], seconds: float = 20.0) -> T:
        """Wait until `predicate()` is true, and return its value.

        It is evaluated again after each event, never on a timer.

        Raises:
            TimeoutError: it was still false after `seconds`.
        """
        changed = asyncio.Event()
        unsubscribe = self.subscribe(lambda _event: changed.set())
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


class EventStream:
    """`/_sandbox/events`: any number of open streams of server-sent events."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._queues: set[asyncio.Queue[ChangeEvent | None]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one stream of `event: KIND`, `data: {…, "at": seconds}` until either side ends."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        queue: asyncio.Queue[ChangeEvent | None] = asyncio.Queue()
        self._queues.add(queue)
        unsubscribe = self._bus.subscribe(queue.put_nowait)
        try:
            await response.prepare(request)
            await response.write(b": this is a sandbox, not Slack\n\n")
            while (event := await queue.get()) is not None:
                await response.write(_encode(event))
        except ConnectionError:
            return response  # the client disconnected
        finally:
            unsubscribe()
            self._queues.discard(queue)
        return response

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        for queue in self._queues:
            queue.put_nowait(None)


def _encode(event: ChangeEvent) -> bytes:
    data = json.dumps({**event.data, "at": event.at}, default=str)
    return f"event: {event.kind}\ndata: {data}\n\n".encode()
