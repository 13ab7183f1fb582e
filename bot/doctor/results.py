"""What a check finds: how things stand, and what to do where they do not stand well."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable

#: Seconds for one check; the calls in it have shorter limits of their own.
PATIENCE = 25.0

TRY_AGAIN = "Check the network, and try again."
REPORT = "That is a mistake in this program: please report it, with this line."


class Level(StrEnum):
    """How a thing stands."""

    OK = "ok"  #: as it should be
    WARNING = "warning"  #: it works, and somebody should look at it
    PROBLEM = "problem"  #: the bot, or a part of it, would not work
    UNCHECKED = "unchecked"  #: it cannot be told, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One line of the report.

    Attributes:
        check: which check it is of, for programs: a name that stays.
        about: what was checked, as people know it: a variable, often.
        says: how it stands.
        do: what to do; empty where there is nothing to do.
    """

    check: str
    about: str
    level: Level
    says: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a check is about; makes its findings."""

    check: str
    about: str

    def ok(self, says: str) -> CheckResult:
        return self._finding(Level.OK, says)

    def warning(self, says: str, do: str) -> CheckResult:
        return self._finding(Level.WARNING, says, do)

    def problem(self, says: str, do: str) -> CheckResult:
        return self._finding(Level.PROBLEM, says, do)

    def unchecked(self, why: str, do: str = "") -> CheckResult:
        return self._finding(Level.UNCHECKED, why, do)

    def _finding(self, level: Level, says: str, do: str = "") -> CheckResult:
        return CheckResult(check=self.check, about=self.about, level=level, says=says, do=do)


async def within(
    subject: Subject, checking: Awaitable[CheckResult], seconds: float = PATIENCE
) -> CheckResult:
    """Wait for a check, but not for ever; whatever happens in it is a finding."""
    (found,) = await all_within(subject, _alone(checking), seconds)
    return found


async def all_within(
    subject: Subject, checking: Awaitable[list[CheckResult]], seconds: float
) -> list[CheckResult]:
    """Wait for checks that belong together; where they do not come to an end, `subject` says so."""
    try:
        async with asyncio.timeout(seconds):
            return await checking
    except TimeoutError:
        return [subject.problem("there was no answer in time", TRY_AGAIN)]
    except Exception as error:  # noqa: BLE001 - told as a finding; every other check goes on
        why = f"the check itself failed ({type(error).__name__}: {error})"
        return [subject.problem(why, REPORT)]


async def _alone(checking: Awaitable[CheckResult]) -> list[CheckResult]:
    return [await checking]
