"""Exponential backoff with jitter: the pause before another attempt (pure)."""

from __future__ import annotations

#: Doublings after which the pause no longer grows; keeps the power of two small.
_MAX_DOUBLINGS = 30


def backoff(
    failures: int,
    *,
    first: float,
    longest: float,
    jitter: float,
    retry_after: float | None = None,
) -> float:
    """Return the seconds to wait after `failures` failed attempts in a row.

    Jitter spreads clients that failed at the same moment: it takes up to half off the client's
    own pause, and adds up to a tenth to the server's.

    Args:
        failures: 1 after the first failure.
        first: seconds after the first failure; doubled with each further one.
        longest: the limit of the doubled pause; `retry_after` may exceed it.
        jitter: a random number from 0 to 1.
        retry_after: seconds that the server asked for, if it did; the pause is never shorter.
    """
    pause = min(first * float(2 ** min(failures - 1, _MAX_DOUBLINGS)), longest) * (1 - jitter / 2)
    return pause if retry_after is None else max(pause, retry_after * (1 + jitter / 10))
