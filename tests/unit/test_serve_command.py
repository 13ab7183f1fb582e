"""What `serve` does before the bot starts."""

from __future__ import annotations

import subprocess
import sys


def test_the_garbage_collector_does_not_look_through_what_was_imported() -> None:
    said = printed(
        "import gc, bot.cli.main, bot.__main__;"
        "bot.cli.main.app = lambda: print(gc.isenabled(), gc.get_freeze_count() > 10_000);"
        "bot.__main__.main()"
    )

    assert said == "True True"


def test_the_bot_does_without_what_only_the_demo_and_doctor_need() -> None:
    """Each module costs memory and time at the start."""
    assert loaded("bot.demo", "bot.doctor", "bot.sandbox") == "[]"


def test_a_bot_with_sqlite_and_its_newest_tables_does_without_alembic_and_the_orm() -> None:
    assert loaded("alembic", "mako", "sqlalchemy.orm", "sqlalchemy.ext.asyncio") == "[]"


def test_a_bot_with_sqlite_does_without_the_dialect_of_postgresql() -> None:
    assert loaded("sqlalchemy.dialects.postgresql") == "[]"


def test_the_bot_does_without_what_only_tables_in_a_terminal_need() -> None:
    said = printed(
        "import sys, bot.__main__ as program;"
        "sys.argv[1:] = ['manifest'];"
        "sys.exit = lambda *_: print([m for m in sys.modules if m.startswith(('rich', 'pygm'))]);"
        "program.main()"
    )

    assert said.splitlines()[-1] == "[]"


def loaded(*names: str) -> str:
    return printed(f"import sys, bot.cli; print([m for m in sys.modules if m.startswith({names})])")


def printed(code: str) -> str:
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    return ran.stdout.decode().strip()
