"""The command line as a program: what it loads, and which calls are wrong usage."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli.main import app

JOB = "65f0a1c2d3e4f5a6b7c80101"
REASON = ("--reason", "started by mistake")


def test_program_loads_neither_alembic_nor_the_orm_nor_slack() -> None:
    names = ("alembic", "mako", "sqlalchemy.orm", "psycopg", "slack_bolt", "slack_sdk")
    code = f"import sys, bot.cli.main; print([m for m in sys.modules if m.startswith({names})])"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)

    assert ran.stdout.decode().strip() == "[]"


def test_interrupt_while_the_program_is_loaded_ends_it_quietly_with_130() -> None:
    interrupt = "if name == 'bot.cli.main': raise KeyboardInterrupt"
    code = f"""
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        {interrupt}

sys.meta_path.insert(0, Finder())
from bot.__main__ import main
"""
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False)

    assert (ran.returncode, ran.stdout, ran.stderr) == (130, b"", b"")


def test_commands_are_those_of_the_contract() -> None:
    listed = CliRunner().invoke(app, ["--help"]).stdout.partition("Commands:")[2]
    names = {line.split()[0] for line in listed.splitlines() if line.strip()}

    assert names == {"serve", "demo", "doctor", "list", "cancel", "audit"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("serve", "--port", "3000"), "No such option"),
        (("list", "--format", "yaml"), "there are: table and json"),
        (("list", "prod eu"), "'prod eu' is not the name of a cluster"),
        (("cancel",), "Missing argument"),
        (("cancel", JOB, "--yes"), "[PROJECT] CLUSTER JOB_ID"),
        (("cancel", "a", "b", "c", JOB, "--yes"), "[PROJECT] CLUSTER JOB_ID"),
        (("cancel", "prod-eu", "65f0", "--yes"), "'65f0' is not a job's id"),
        (("cancel", "../x", JOB, "--yes"), "'../x' is not the name of a cluster"),
        (("cancel", "prod-eu", JOB, *REASON), "add --yes"),
        (("audit", "--since", "yesterday"), "'yesterday' is not a time"),
        (("audit", "--until", "0001-01-01T00:00+14:00"), "is not a time"),
        (("doctor",), "MONGODB_ATLAS_PUBLIC_API_KEY"),
        (("audit", "verify"), "MONGODB_ATLAS_PUBLIC_API_KEY"),
        (("serve",), "SLACK_BOT_TOKEN"),
    ],
    ids=" ".join,
)
def test_wrong_usage_or_settings_end_with_2_and_a_sentence(
    arguments: tuple[str, ...], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = CliRunner().invoke(app, arguments)

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert why in ran.stderr
    assert "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []
