"""Reads the amounts that programs of the tests are given, for argparse."""

from __future__ import annotations

import argparse
from math import isfinite


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
    """Read a whole number above 0; raises what argparse makes a sentence of."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return int(text)
