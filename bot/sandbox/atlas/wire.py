"""The record of every call that came in, for tests to count and for pages to show live."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

Scheme = Literal["none", "digest", "bearer", "basic", "other"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request and what became of it.

    `path` is the request target as sent, with its query. `status` is None when the connection was
    cut without an answer. `challenge` says that the answer was a 401 that asked for credentials,
    `refused` why credentials were not taken, `effect` that something in the world changed.
    """

    at: datetime
    method: str
    path: str
    status: int | None
    authorization: Scheme = "none"
    challenge: bool = False
    nonce_reused: bool = False
    seconds: float = 0.0
    refused: str = ""
    faults: tuple[str, ...] = ()
    effect: bool = False


@dataclass
class Wire:
    """All calls so far, oldest first, and whoever wants to hear of the next."""

    calls: list[Call] = field(default_factory=list)
    _listeners: list[Callable[[Call], None]] = field(default_factory=list)

    def record(self, call: Call) -> None:
        self.calls.append(call)
        for listener in list(self._listeners):
            listener(call)

    def subscribe(self, listener: Callable[[Call], None]) -> Callable[[], None]:
        """Call `listener` with each call to come; return what ends the subscription."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def deletes(self, job_id: str = "") -> list[Call]:
        """Return the DELETEs that came with credentials taken, of one job or of all."""
        return [
            call
            for call in self.calls
            if call.method == "DELETE" and not call.challenge and job_id in call.path
        ]
