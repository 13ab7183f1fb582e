"""What `serve` does before the bot starts."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import bot.cli

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from pathlib import Path

    from bot.settings import Settings

SETTINGS = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "MONGODB_ATLAS_PUBLIC_API_KEY": "public",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "5a4db0c5-0000-4000-8000-5a4db0c50000",
    "MONGODB_ATLAS_PROJECT_ID": "5b6212af90dc76637950a2c6",
}


@pytest.fixture
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_the_garbage_collector_does_not_look_through_what_was_imported(
    thawed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[int] = []

    async def serve(_settings: Settings, _stopped: asyncio.Event) -> None:
        seen.append(gc.get_freeze_count())

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bot.cli, "serve", serve)
    for name in ("configure_logging", "redact"):  # they change the whole process
        monkeypatch.setattr(bot.cli, name, lambda *_given: None)
    ran = CliRunner().invoke(bot.cli.app, ["serve"], env=SETTINGS)

    assert (ran.exit_code, seen[0] > 10_000) == (0, True)


def test_the_bot_does_without_what_only_the_demo_and_doctor_need() -> None:
    """Each module costs memory and time at the start."""
    wanted = ("bot.demo", "bot.doctor", "bot.sandbox")
    listed = f"import sys, bot.cli; print([m for m in sys.modules if m.startswith({wanted})])"
    ran = subprocess.run([sys.executable, "-P", "-c", listed], capture_output=True, check=True)

    assert ran.stdout.decode().strip() == "[]"
