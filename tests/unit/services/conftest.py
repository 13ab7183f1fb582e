from collections.abc import AsyncIterator

import pytest

from tests.unit.services.environment import Environment


@pytest.fixture
async def env() -> AsyncIterator[Environment]:
    """The stores over an empty database, one download in Atlas, and people."""
    opened = Environment()
    await opened.open()
    yield opened
    await opened.database.close()
