"""Token buckets: how many calls a project has left, and how long to wait for the next."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Rate:
    """A bucket's size, and how much comes back in how many seconds."""

    capacity: int
    refill: int
    seconds: int


#: The sets of endpoints whose rate is documented (or was seen); the backups' own is a choice.
RATES = {
    "groups": Rate(1200, 500, 60),
    "clusters": Rate(10_000, 5_000, 60),
    "flex": Rate(1200, 500, 60),
}


@dataclass
class Bucket:
    """What is left, and when that was true."""

    left: float
    at: datetime


@dataclass(frozen=True)
class Reading:
    """What a call finds: what is left after it, and the wait in seconds when it is too much."""

    remaining: int
    wait: int = 0


@dataclass
class Buckets:
    """One bucket for each set of endpoints and each scope (a project, or a key)."""

    buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    def take(self, name: str, scope: str, rate: Rate, now: datetime) -> Reading:
        """Take one call out of a bucket."""
        bucket = self.buckets.setdefault((name, scope), Bucket(rate.capacity, now))
        came_back = (now - bucket.at).total_seconds() * rate.refill / rate.seconds
        bucket.left, bucket.at = min(rate.capacity, bucket.left + came_back), now
        if bucket.left < 1:
            return Reading(0, math.ceil((1 - bucket.left) * rate.seconds / rate.refill))
        bucket.left -= 1
        return Reading(int(bucket.left))
