"""Without the pauses in which listeners wait for a message, unless time is simulated."""

import inspect

import pytest

from bot.slack import dialog


@pytest.fixture(autouse=True)
def _no_pauses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if inspect.iscoroutinefunction(request.function):
        monkeypatch.setattr(dialog, "LINK_PAUSES", (0.0,))
