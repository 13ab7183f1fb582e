"""Says which real programs a test needs; in CI a missing one is a failure, never a skip."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

#: Debian keeps servers outside a plain user's PATH, and those of PostgreSQL by its version.
SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")
BY_VERSION = ("/usr/lib/postgresql", "*/bin")


def find(program: str) -> str | None:
    """Return the path of `program`, looking where Debian keeps servers too."""
    folder, pattern = BY_VERSION
    versions = [str(each) for each in Path(folder).glob(pattern)]
    path = os.pathsep.join([os.environ.get("PATH", ""), *SERVER_FOLDERS, *versions])
    return shutil.which(program, path=path)


def needs(program: str, package: str | None = None) -> Path:
    """Return where `program` is; without it skip the test, or fail where CI is set."""
    found = find(program)
    if found:
        return Path(found)
    why = f"this test needs {program}: apt-get install {package or program}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
