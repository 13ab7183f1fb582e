"""Runs git in the project's folder, also where another user owns it, as in a container of CI."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def git(*arguments: str, folder: Path = ROOT) -> bytes:
    """Return the output of git."""
    # Else git refuses a folder of another user: "detected dubious ownership".
    command = ("git", "-c", "safe.directory=*", "-C", str(folder), *arguments)
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
