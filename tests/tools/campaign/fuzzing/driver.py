"""Fuzzes one parser with atheris; `fuzz_parsers` runs it with NAME [OPTION …] CORPUS."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Run until the time is over or something is raised."""
    atheris = importlib.import_module("atheris")  # there is no wheel of it for every machine
    with atheris.instrument_imports(include=["bot", "httpx"]):
        targets = importlib.import_module("tests.tools.campaign.fuzzing.targets").TARGETS
    target, _ = targets[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
