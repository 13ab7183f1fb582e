"""Clocks of processes that can be set while they run, by libfaketime (Debian: faketime)."""

from __future__ import annotations

from pathlib import Path

from tests.tools.reporting.report import Missing


def faketime(clock: Path) -> dict[str, str]:
    """Return the variables that let a program go by `clock`, a file with seconds to add.

    Its monotonic clock stays, as when the time of a machine is set.

    Raises:
        Missing: libfaketime is not on this machine.
    """
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        raise Missing("libfaketime is not here: apt-get install faketime")
    if not clock.exists():
        set_clock(clock, 0)
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def set_clock(clock: Path, seconds: float) -> None:
    """Set the offset for processes that use the file, in one atomic write."""
    draft = clock.with_suffix(".draft")
    draft.write_text(f"{seconds:+g}\n")
    draft.rename(clock)
