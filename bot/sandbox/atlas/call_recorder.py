"""Records every call, for assertions in tests and for the demo's page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

Scheme = Literal["none", "digest", "bearer", "basic", "other"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request and its result.

    `path` is the request target as sent, with its query, and `host` where it was sent to. `status`
    is None when the connection was cut without a response. `challenge`: whether the response was a
    401 that asked for credentials, `effect` that something in the world changed.
    """

    at: datetime
    method: str
    path: str
    status: int | None
    host: str = ""
    authorization: Scheme = "none"
    challenge: bool = False
    nonce_reused: bool = False
    seconds: float = 0.0
    faults: tuple[str, ...] = ()
    effect: bool = False


@dataclass
class CallRecorder:
    """All calls so far, oldest first, and the listeners for further ones."""

    calls: list[Call] = field(default_factory=list)
    _listeners: list[Callable[[Call], None]] = field(default_factory=list)

    def record(self, call: Call) -> None:
        self.calls.append(call)
        for listener in list(self._listeners):
            listener(call)

    def subscribe(self, listener: Callable[[Call], None]) -> Callable[[], None]:
        """Call `listener` with each further call; return a function that unsubscribes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
