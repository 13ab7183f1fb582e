"""A clock for tests: the time, monotonic seconds, and a sleep that returns immediately."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@dataclass(slots=True)
class FakeClock:
    """A clock that `advance` and `sleep` move.

    Attributes:
        sleeps: the seconds of each sleep.
    """

    now: datetime = NOON
    sleeps: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)
