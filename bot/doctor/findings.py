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


class Level(StrEnum):
    """How a thing stands."""

    OK = "ok"  #: as it should be
    WARNING = "warning"  #: it works, and somebody should look at it
    PROBLEM = "problem"  #: the bot, or a part of it, would not work
    UNCHECKED = "unchecked"  #: it cannot be told, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
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

    def ok(self, says: str) -> Finding:
        return self._finding(Level.OK, says)

    def warning(self, says: str, do: str) -> Finding:
        return self._finding(Level.WARNING, says, do)

    def problem(self, says: str, do: str) -> Finding:
        return self._finding(Level.PROBLEM, says, do)

    def unchecked(self, why: str, do: str = "") -> Finding:
        return self._finding(Level.UNCHECKED, why, do)

    def _finding(self, level: Level, says: str, do: str = "") -> Finding:
        return Finding(check=self.check, about=self.about, level=level, says=says, do=do)


async def within(subject: Subject, checking: Awaitable[Finding]) -> Finding:
    """Wait for a check, but not for ever."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await checking
    except TimeoutError:
        return subject.problem(
            f"there was no answer within {PATIENCE:g} s", "Check the network, and try again."
        )
