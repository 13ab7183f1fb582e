"""Token buckets for the rate limits of the API."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Rate:
    """A bucket's capacity, and its refill per period."""

    capacity: int
    refill: int
    seconds: int


#: The documented or observed rates; that of backups is a choice of `Behaviour`.
RATES = {
    "groups": Rate(1200, 500, 60),
    "clusters": Rate(10_000, 5_000, 60),
    "root": Rate(300, 100, 60),
    "events": Rate(300, 100, 60),
}


@dataclass
class Bucket:
    """The tokens left at a point in time."""

    left: float
    at: datetime


@dataclass(frozen=True)
class Reading:
    """The tokens left after a call, and the wait in seconds when none was left."""

    remaining: int
    wait: int = 0


@dataclass
class Buckets:
    """One bucket for each set of endpoints and each scope (a project, or a key)."""

    buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    def take(self, name: str, scope: str, rate: Rate, now: datetime) -> Reading:
        """Take one token out of a bucket."""
        bucket = self.buckets.setdefault((name, scope), Bucket(rate.capacity, now))
        came_back = (now - bucket.at).total_seconds() * rate.refill / rate.seconds
        bucket.left, bucket.at = min(rate.capacity, bucket.left + came_back), now
        if bucket.left < 1:
            return Reading(0, math.ceil((1 - bucket.left) * rate.seconds / rate.refill))
        bucket.left -= 1
        return Reading(int(bucket.left))
