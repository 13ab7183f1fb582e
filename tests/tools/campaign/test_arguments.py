"""The arguments of the campaigns, and their end by a signal."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.tools.campaign.__main__ import arguments

if TYPE_CHECKING:
    pass

#: A program that gets SIGTERM twice, and takes a moment to end.
SLOW_TO_END = """
import asyncio
from contextlib import suppress
from tests.support.sigterm import exit_on_sigterm

async def work():
    try:
        print("begun", flush=True)
        await asyncio.sleep(30)
    finally:
        print("ending", flush=True)
        await asyncio.sleep(0.3)
        print("ended", flush=True)

exit_on_sigterm()
with suppress(KeyboardInterrupt):
    asyncio.run(work())
"""


@pytest.mark.parametrize("option", ["--minutes", "--requests"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", "many"])
def test_invalid_amount_is_rejected(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(["kills", option, value])

    assert ended.value.code == 2
    assert f"argument {option}" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--minutes", "--requests"])
def test_short_with_an_amount_is_rejected(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(["kills", "--short", option, "3"])

    assert ended.value.code == 2
    assert "leave out --minutes and --requests" in capsys.readouterr().err


def test_second_sigterm_does_not_interrupt_the_cleanup() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_TO_END], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout
        assert program.stdout.readline() == "begun\n"
        program.send_signal(signal.SIGTERM)
        assert program.stdout.readline() == "ending\n"
        program.send_signal(signal.SIGTERM)

        assert program.stdout.read() == "ended\n"

    assert program.returncode == 0
