"""The results of checks: made within time limits, and written as lines or as JSON."""

import asyncio
import json
import sys
import textwrap
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import groupby
from typing import Any, Self, TextIO

from rich.console import Console
from rich.text import Text

from bot.log_config import redacted

TIMEOUT = 25.0  #: seconds for one check; the calls in it have shorter limits of their own
TRY_AGAIN = "Check the network, and try again."
REPORT = "This is an error in the program: please report it with this line."


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"  #: it works, but an operator should review it
    PROBLEM = "problem"  #: the bot, or a part of it, does not work
    UNCHECKED = "unchecked"  #: it could not be checked


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the report; its methods say what was found."""

    check: str  #: the stable name of the check, for programs
    subject: str  #: what is checked, mostly the name of a variable
    group: str = ""  #: the heading under which people read it
    level: Level = Level.UNCHECKED
    message: str = ""  #: what was found
    hint: str = ""  #: what to do about it; may be empty

    def ok(self, message: str) -> Self:
        return replace(self, level=Level.OK, message=message)

    def warning(self, message: str, hint: str) -> Self:
        return replace(self, level=Level.WARNING, message=message, hint=hint)

    def problem(self, message: str, hint: str) -> Self:
        return replace(self, level=Level.PROBLEM, message=message, hint=hint)

    def unchecked(self, why: str, hint: str = "") -> Self:
        return replace(self, level=Level.UNCHECKED, message=why, hint=hint)


async def within(
    subject: CheckResult,
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


#: Seconds of difference. Slack's signatures hold for 300, a synchronized clock is within a few, and
#: a clock behind Atlas's delays by the difference when a starter is certain and is asked.
CLOCK_WARNING = 10
CLOCK_PROBLEM = 300
SET_CLOCK = "Synchronize the machine's clock by NTP (timedatectl shows whether it is)."


def compare_clock(service: str, here: datetime, there: datetime) -> CheckResult:
    """Compare the time `here`, when a response of `service` came, with its date `there`."""
    subject = CheckResult("clock", f"clock, by {service}", service)
    off = (here - there).total_seconds()
    if abs(off) <= CLOCK_WARNING:
        return subject.ok(f"this machine's clock agrees, to {CLOCK_WARNING} s")
    message = f"this machine's clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}"
    report = subject.problem if abs(off) > CLOCK_PROBLEM else subject.warning
    return report(message, SET_CLOCK)


STYLES = {
    Level.OK: "green",
    Level.WARNING: "yellow",
    Level.PROBLEM: "bold red",
    Level.UNCHECKED: "dim",
}

SHORT_REPORT = 15  #: results that fit on a screen with their hints
#: The columns in which the name of a level and the text beside it begin.
LEVEL_COLUMN, TEXT_COLUMN = 2, 12


def is_ok(results: Iterable[CheckResult]) -> bool:
    return all(result.level is not Level.PROBLEM for result in results)


def write_json(results: Sequence[CheckResult], out: TextIO) -> None:
    """Write one JSON object; programs rely on its keys."""
    counts = Counter(result.level for result in results)
    report = {
        "ok": is_ok(results),
        "counts": {level.value: counts[level] for level in Level},
        "checks": [
            {
                "check": result.check,
                "about": result.subject,
                "level": result.level.value,
                "says": result.message,
                "do": result.hint,
            }
            for result in map(_clean, results)
        ],
    }
    out.write(json.dumps(report, ensure_ascii=False, indent=2) + "\n")


def write_lines(results: Sequence[CheckResult], out: TextIO) -> None:
    """Write the results by group, and counts; only terminals break lines.

    A report that does not fit on a screen has the problems at its end, before the counts.
    """
    shown = [*map(_clean, results)]
    if len(shown) > SHORT_REPORT:
        problems = [each for each in shown if each.level is Level.PROBLEM]
        shown = [each for each in shown if each.level is not Level.PROBLEM]
        shown += [replace(each, group="Problems") for each in problems]
    console = Console(file=out, highlight=False, soft_wrap=True)
    width = max(console.width, 2 * TEXT_COLUMN) if out.isatty() else sys.maxsize
    for group, alike in groupby(shown, lambda each: each.group):
        if group:
            console.print(Text(group, style="bold"))
        for result in alike:
            for line in lines_of(result, width):
                text = Text(line)  # names from Slack and Atlas are not markup
                text.stylize(STYLES[result.level], LEVEL_COLUMN, TEXT_COLUMN)
                console.print(text)
    out.write(f"{summary(results)}\n")


def lines_of(result: CheckResult, width: int = sys.maxsize) -> Iterator[str]:
    """Return a result as lines: level, subject and message, and the hint below them (pure)."""
    indent = " " * TEXT_COLUMN
    begin = f"{'':{LEVEL_COLUMN}}{result.level.value}".ljust(TEXT_COLUMN)
    # Names of settings stay whole.
    wrap = partial(textwrap.wrap, width=width, break_long_words=False, break_on_hyphens=False)
    text = f"{result.subject}: {result.message}"
    yield from wrap(text, initial_indent=begin, subsequent_indent=indent)
    yield from wrap(result.hint, initial_indent=f"{indent}→ ", subsequent_indent=f"{indent}  ")


def summary(results: Iterable[CheckResult]) -> str:
    counts = Counter(result.level for result in results)
    problems, warnings = counts[Level.PROBLEM], counts[Level.WARNING]
    found = f"{problems or 'No'} problem{'s' * (problems > 1)}"
    return f"{found}, {warnings} warning{'s' * (warnings != 1)}."


def _clean(result: CheckResult) -> CheckResult:
    """Remove secrets, and control characters in names from Slack and Atlas."""
    texts: dict[str, Any] = {
        name: redacted("".join(c if c.isprintable() else " " for c in getattr(result, name)))
        for name in ("subject", "message", "hint", "group")
    }
    return replace(result, **texts)
