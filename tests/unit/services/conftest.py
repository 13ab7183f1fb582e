"""The fixture `new_service`, which builds services over SQLite and closes them."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bot.cancellation.policy import Policy
from tests.support.service import ServiceOnSqlite

NewService = Callable[[Policy], ServiceOnSqlite]


@pytest.fixture
async def new_service(tmp_path: Path) -> AsyncIterator[NewService]:
    opened: list[ServiceOnSqlite] = []

    def build(policy: Policy) -> ServiceOnSqlite:
        opened.append(ServiceOnSqlite(tmp_path, policy))
        return opened[-1]

    yield build
    for service in opened:
        await service.close()
