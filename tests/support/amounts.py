"""Reads the amounts that programs of the tests are given, for argparse."""

from __future__ import annotations

import argparse
import re
from math import isfinite

#: More than any program here can hold.
MOST = 1_000_000


def amount(text: str) -> float:
    """Read a number above 0; raises what argparse makes a sentence of."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return value


def count(text: str) -> int:
    """Read a whole number from 1 to `MOST`; raises what argparse makes a sentence of."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text:.20} is no whole number from 1 to {MOST:,}")
    return int(text)
