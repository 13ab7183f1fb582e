"""Finds the real programs that a test needs; in CI a missing one is a failure, not a skip."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

#: Debian's folders of servers, which are not in the PATH of users; PostgreSQL has one per version.
SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")
BY_VERSION = ("/usr/lib/postgresql", "*/bin")


def find(program: str) -> str | None:
    """Return the path of `program` in PATH or Debian's folders of servers."""
    folder, pattern = BY_VERSION
    versions = [str(each) for each in Path(folder).glob(pattern)]
    path = os.pathsep.join([os.environ.get("PATH", ""), *SERVER_FOLDERS, *versions])
    return shutil.which(program, path=path)


def needs(program: str, package: str | None = None) -> Path:
    """Return the path of `program`; if it is missing, skip the test, or fail it in CI."""
    found = find(program)
    if found:
        return Path(found)
    return missing(program, package or program)


def needs_library(name: str, package: str) -> Path:
    """Return the path of a shared library in Debian's folders, or do as `needs` does."""
    found = sorted(Path("/usr/lib").glob(f"*/{name}"))
    return found[0] if found else missing(name, package)


def missing(what: str, package: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    why = f"this test needs {what}: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
