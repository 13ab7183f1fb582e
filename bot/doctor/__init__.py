"""Checks everything that the bot needs, against the real services, before it is needed.

Nothing is changed: no DELETE, no message, no schema. Each result is one `CheckResult`.
"""

from bot.doctor.report import is_ok, settings_results, write_json, write_lines
from bot.doctor.results import CheckResult, Level
from bot.doctor.run import run_checks
from bot.doctor.slack import warn_about_ids

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
