"""What a check finds: how things stand, and what to do where they do not stand well."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum

#: Seconds for one check; the calls in it have shorter limits of their own.
TIMEOUT = 25.0

TRY_AGAIN = "Check the network, and try again."
REPORT = "That is a mistake in this program: please report it, with this line."


class Level(StrEnum):
    """How a thing stands."""

    OK = "ok"  #: as it should be
    WARNING = "warning"  #: it works, and somebody should check at it
    PROBLEM = "problem"  #: the bot, or a part of it, would not work
    UNCHECKED = "unchecked"  #: it could not be checked


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One line of the report.

    Attributes:
        check: which check it is of, for programs: a name that stays.
        subject: what was checked, as people know it: a variable, often.
        message: how it stands.
        hint: what to do; empty where there is nothing to do.
    """

    check: str
    subject: str
    level: Level
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a check; creates its results."""

    check: str
    name: str

    def ok(self, message: str) -> CheckResult:
        return self._result(Level.OK, message)

    def warning(self, message: str, hint: str) -> CheckResult:
        return self._result(Level.WARNING, message, hint)

    def problem(self, message: str, hint: str) -> CheckResult:
        return self._result(Level.PROBLEM, message, hint)

    def unchecked(self, why: str, hint: str = "") -> CheckResult:
        return self._result(Level.UNCHECKED, why, hint)

    def _result(self, level: Level, message: str, hint: str = "") -> CheckResult:
        return CheckResult(
            check=self.check, subject=self.name, level=level, message=message, hint=hint
        )


async def within(
    subject: Subject, checking: Awaitable[CheckResult], seconds: float = TIMEOUT
) -> CheckResult:
    """Run a check with a time limit; a timeout or an error in it is a result."""
    (found,) = await all_within(subject, _as_list(checking), seconds)
    return found


async def all_within(
    subject: Subject, checking: Awaitable[list[CheckResult]], seconds: float
) -> list[CheckResult]:
    """Run checks of one service with a time limit; a timeout is a result about `subject`."""
    try:
        async with asyncio.timeout(seconds):
            return await checking
    except TimeoutError:
        return [subject.problem("there was no answer in time", TRY_AGAIN)]
    except Exception as error:  # noqa: BLE001 - reported; the other checks continue
        why = f"the check itself failed ({type(error).__name__}: {error})"
        return [subject.problem(why, REPORT)]


async def _as_list(checking: Awaitable[CheckResult]) -> list[CheckResult]:
    return [await checking]


#: Seconds. Slack's signatures hold for 300; a good clock is never a minute off.
UNUSUAL = 60
WRONG = 300

SET_IT = "Let the machine set its clock by NTP (timedatectl shows whether it does)."


def compare_clock(service: str, here: datetime | None, there: datetime | None) -> CheckResult:
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
    if abs(off) <= UNUSUAL:
        return subject.ok("this machine's clock agrees, to the minute")
    message = f"this machine's clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
    return (
        subject.problem(message, SET_IT) if abs(off) > WRONG else subject.warning(message, SET_IT)
    )


def http_date(text: str) -> datetime | None:
    """Read a Date header; None where it is none with a zone."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
