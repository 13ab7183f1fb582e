"""The pause between two attempts of a call that failed."""

_MAX_DOUBLINGS = 30  #: doublings after which the pause stays; keeps the power of two small


def backoff(
    failures: int, *, first: float, longest: float, jitter: float, retry_after: float | None = None
) -> float:
    """Return the seconds to wait after `failures` failed attempts in a row.

    The pause is `first`, doubled with each further failure up to `longest`, and never shorter than
    the `retry_after` of the server. The jitter, a random number from 0 to 1, spreads clients that
    failed at the same moment: it takes up to half off the client's own pause, and adds up to a
    tenth to the server's.
    """
    pause = min(first * float(2 ** min(failures - 1, _MAX_DOUBLINGS)), longest) * (1 - jitter / 2)
    return pause if retry_after is None else max(pause, retry_after * (1 + jitter / 10))
