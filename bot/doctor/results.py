"""The result of a check with a hint for the fix; time limits of checks; the clock check."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

TIMEOUT = 25.0  #: seconds for one check; the calls in it have shorter limits of their own

TRY_AGAIN = "Check the network, and try again."
REPORT = "This is an error in the program: please report it with this line."


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  #: it works, but an operator should review it
    PROBLEM = "problem"  #: the bot, or a part of it, does not work
    UNCHECKED = "unchecked"  #: it could not be checked


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One line of the report."""

    check: str  #: the stable name of the check, for programs
    subject: str  #: what was checked, mostly the name of a variable
    level: Level
    message: str  #: what was found
    hint: str = ""  #: what to do about it; may be empty
    group: str = ""  #: the heading under which people read it


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
    subject: Subject,
    checking: Awaitable[CheckResult] | Awaitable[list[CheckResult]],
    seconds: float = TIMEOUT,
) -> list[CheckResult]:
    """Run checks with a time limit; a timeout or an error is a result about `subject`."""
    try:
        async with asyncio.timeout(seconds):
            found = await checking
    except TimeoutError:
        return [subject.problem("there was no answer in time", TRY_AGAIN)]
    except Exception as error:  # noqa: BLE001 - reported; the other checks continue
        why = f"the check itself failed ({type(error).__name__}: {error})"
        return [subject.problem(why, REPORT)]
    return found if isinstance(found, list) else [found]


#: Seconds of difference. Slack's signatures hold for 300; a synchronized clock is within a few.
CLOCK_WARNING = 60
CLOCK_PROBLEM = 300

SET_CLOCK = "Synchronize the machine's clock by NTP (timedatectl shows whether it is)."


def compare_clock(service: str, here: datetime | None, there: datetime | None) -> CheckResult:
    """Compare the time `here`, when a response came, with the date `there` of the response."""
    subject = Subject("clock", f"clock, by {service}")
    if here is None or there is None:
        return subject.unchecked(f"no response of {service} had a date")
    off = (here - there).total_seconds()
    if abs(off) <= CLOCK_WARNING:
        return subject.ok("this machine's clock agrees, to the minute")
    message = f"this machine's clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
    report = subject.problem if abs(off) > CLOCK_PROBLEM else subject.warning
    return report(message, SET_CLOCK)
