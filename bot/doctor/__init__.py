"""Checks everything that the bot needs, against the real services, before it is needed.

Nothing is changed: no DELETE, no message, no schema. What is found is one `CheckResult` a line.
"""

from bot.doctor.ids import warn_about_ids
from bot.doctor.report import is_ok, settings_results, write_json, write_lines
from bot.doctor.results import CheckResult, Level
from bot.doctor.run import run_checks

__all__ = [
    "CheckResult",
    "Level",
    "is_ok",
    "run_checks",
    "settings_results",
    "warn_about_ids",
    "write_json",
    "write_lines",
]
