"""The command line as a program: the modules that it loads."""

import subprocess
import sys


def test_program_loads_neither_alembic_nor_the_orm_nor_slacks_framework() -> None:
    names = ("alembic", "mako", "sqlalchemy.orm", "psycopg", "slack_bolt")
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
