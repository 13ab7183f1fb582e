"""The fixture `env`: everything below Slack, over a database in memory."""

from collections.abc import AsyncIterator

import pytest

from tests.support.core import CoreEnvironment, core_environment


@pytest.fixture
async def env() -> AsyncIterator[CoreEnvironment]:
    async with core_environment() as environment:
        yield environment
