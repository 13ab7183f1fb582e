"""The header of a report: machine, versions, date, and load."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tests.support.required_programs import find

#: Libraries whose versions affect the figures: the bot's, then those of the peers.
LIBRARIES = ("slack-bolt", "slack-sdk", "aiohttp", "httpx", "sqlalchemy", "psycopg")
PEERS = ("hypothesis",)

#: Programs of the peers, with the arguments that print the version.
PROGRAMS = {
    "PostgreSQL": ("postgres", "--version"),
}


def measured() -> list[str]:
    """Return what a row of a page names: the commit with the date, and the machine."""
    commit = _commit().removesuffix("-dirty")  # a page itself may have changed, no code
    return [f"{commit}, {datetime.now(UTC):%Y-%m-%d}", f"{_processor()}, {os.cpu_count()} cores"]


def lines() -> list[str]:
    """Return the header, one sentence per line."""
    return [
        f"Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}",
        f"Machine: {_processor()}, {os.cpu_count()} cores, {_memory()}, {_system()}",
        f"Load when it began: {os.getloadavg()[0]:.1f}",
        f"Python {platform.python_version()}, " + ", ".join(filter(None, map(_version, LIBRARIES))),
        "Peers: " + ", ".join(filter(None, (*map(_version, PEERS), *map(_version_of, PROGRAMS)))),
    ]


def _processor() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:  # no Linux
        return platform.platform(terse=True)


def _memory() -> str:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal"):
            return f"{int(line.split()[1]) / 1024**2:.0f} GiB"
    return "memory unknown"


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:  # not on Linux: the header is shorter
        return ""


def _version(library: str) -> str | None:
    try:
        return f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        return None


def _version_of(name: str) -> str | None:
    """Return a program's version, or None if it is not installed."""
    program, *arguments = PROGRAMS[name]
    if (path := find(program)) is None:
        return None
    asked = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    number = re.search(r"\d+(\.\d+)+", asked.stdout + asked.stderr)
    return f"{name} {number[0]}" if number else None


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
