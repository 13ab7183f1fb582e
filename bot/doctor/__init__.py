"""Checks everything that the bot needs, against the real services, before it is needed.

Nothing is changed: no DELETE, no message, no schema. What is found is one `CheckResult` a line.
"""

from bot.doctor.report import is_well, settings_findings, write_json, write_lines
from bot.doctor.results import CheckResult, Level
from bot.doctor.run import run_checks

__all__ = [
    "CheckResult",
    "Level",
    "is_well",
    "run_checks",
    "settings_findings",
    "write_json",
    "write_lines",
]
