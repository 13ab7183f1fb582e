"""Limits calls of the Web API as Slack does, where a test wants that."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """So many calls in so many seconds: in all, or to each channel."""

    calls: int
    seconds: float
    is_by_channel: bool = False


#: As documented; how long a burst of posts may be, Slack does not say.
RATES = {
    "chat.postMessage": Rate(5, 5.0, is_by_channel=True),
    "chat.update": Rate(50, 60.0),
    "chat.postEphemeral": Rate(100, 60.0),
    "views.open": Rate(100, 60.0),
    "views.update": Rate(100, 60.0),
}


class RateLimits:
    """The calls of the last seconds."""

    def __init__(self, rates: Mapping[str, Rate], clock: Callable[[], float]) -> None:
        self._rates, self._clock = rates, clock
        self._calls: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)

    def wait(self, method: str, channel: str) -> float:
        """Count a call, or return the seconds after which it may be made."""
        rate = self._rates.get(method)
        if rate is None:
            return 0.0
        now = self._clock()
        calls = self._calls[method, channel if rate.is_by_channel else ""]
        while calls and calls[0] <= now - rate.seconds:
            calls.popleft()
        if len(calls) >= rate.calls:
            return calls[0] + rate.seconds - now
        calls.append(now)
        return 0.0
