"""Without the pauses in which listeners wait for a message or repeat a call."""

import pytest

from bot.slack import dialog


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialog, "LINK_PAUSES", (0.0,))
    monkeypatch.setattr(dialog, "UPDATE_AGAIN_AFTER", 0.0)
