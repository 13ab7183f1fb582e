"""The command line as a program: the modules that it loads."""

import subprocess
import sys


def test_program_loads_neither_alembic_nor_the_orm() -> None:
    names = ("alembic", "mako", "sqlalchemy.orm", "sqlalchemy.ext.asyncio")
    code = f"import sys, bot.cli.main; print([m for m in sys.modules if m.startswith({names})])"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)

    assert ran.stdout.decode().strip() == "[]"
