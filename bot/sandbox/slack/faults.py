"""Injects faults into calls of the Web API."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["delay", "reset_after", "ratelimited", "error", "status"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault.

    delay: `seconds` late · reset_after: the call takes effect, then the connection breaks ·
    ratelimited: 429 with Retry-After `seconds` · error: `ok: false` with `code` · status: HTTP
    `status` without JSON.
    """

    kind: Kind
    seconds: float = 1.0
    code: str = "fatal_error"
    status: int = 503


@dataclass
class Faults:
    """A queue of faults per method."""

    _queue: dict[str, list[Fault]] = field(default_factory=dict)

    def add(self, method: str, fault: Fault, times: int = 1) -> None:
        """Apply `fault` to the next `times` calls of `method`."""
        self._queue.setdefault(method, []).extend([fault] * times)

    def clear(self) -> None:
        self._queue.clear()

    def next(self, method: str) -> Fault | None:
        waiting = self._queue.get(method)
        return waiting.pop(0) if waiting else None
