"""Checks everything that the bot needs, against the real services, before it is needed.

Nothing is changed: no DELETE, no message, no schema. What is found is one `Finding` a line.
"""

from bot.doctor.examine import examine
from bot.doctor.findings import Finding, Level
from bot.doctor.report import is_well, settings_findings, write_json, write_lines

__all__ = [
    "Finding",
    "Level",
    "examine",
    "is_well",
    "settings_findings",
    "write_json",
    "write_lines",
]
