"""Types of arguments of the test programs, for argparse."""

import argparse
import re
from math import isfinite

#: The largest count of any program here.
MAX_COUNT = 1_000_000


def amount(text: str) -> float:
    """Parse a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def count(text: str) -> int:
    """Parse a whole number from 1 to `MAX_COUNT`."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_COUNT:
        raise argparse.ArgumentTypeError(
            f"{text:.20} is not a whole number from 1 to {MAX_COUNT:,}"
        )
    return int(text)
