"""One environment for the paths of `serve`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.serving import Serving, serving


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(f"sqlite:///{tmp_path}/bot.db", {}) as scene:
        yield scene
        assert scene.slack.complaints == []
        assert [c for c in scene.slack.calls if not c.ok and c.error in CONTENT_ERRORS] == []


CONTENT_ERRORS = frozenset({"invalid_blocks", "msg_too_long", "invalid_arguments"})
