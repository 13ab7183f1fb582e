"""The README's command for the tests is the one of .ci/run."""

import re
from pathlib import Path

COMMAND = "python -m pytest -n 6"


def test_command_for_the_tests_is_that_of_ci() -> None:
    (line,) = re.findall(
        r"^ {4,}(.*pytest.*)$", Path("README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    *set_up, test = line.strip().split(" && ")

    assert set_up == ["python3 -m venv .venv", ".venv/bin/pip install -q -e '.[dev]'"]
    assert test == f".venv/bin/{COMMAND}"
    assert COMMAND in Path(".ci/run").read_text(encoding="utf-8").splitlines()
