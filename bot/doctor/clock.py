"""Compares this machine's clock with what services say (pure)."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from bot.doctor.results import CheckResult, Subject

if TYPE_CHECKING:
    from datetime import datetime

#: Seconds. Slack's signatures hold for 300; a good clock is never a minute off.
ODD = 60
WRONG = 300

SET_IT = "Let the machine set its clock by NTP (timedatectl shows whether it does)."


def compare(service: str, here: datetime | None, there: datetime | None) -> CheckResult:
    """Judge the clock by an answer of `service`.

    Args:
        service: its name.
        here: when its answer came, by this machine's clock; None where none came.
        there: when the service says that it answered; None where it does not say.
    """
    subject = Subject("clock", f"clock, by {service}")
    if here is None or there is None:
        return subject.unchecked(f"{service} did not say what time it is")
    off = (here - there).total_seconds()
    if abs(off) <= ODD:
        return subject.ok("this machine's clock agrees, to the minute")
    says = f"this machine's clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
    return subject.problem(says, SET_IT) if abs(off) > WRONG else subject.warning(says, SET_IT)


def http_date(text: str) -> datetime | None:
    """Read a Date header; None where it is none with a zone."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
