"""The fixture `new_bolt`, which builds harnesses and closes them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.slack.harness import BoltHarness, NewBolt


@pytest.fixture
async def new_bolt(tmp_path: Path) -> AsyncIterator[NewBolt]:
    opened: list[BoltHarness] = []

    def build(*arguments: Any, **options: Any) -> BoltHarness:
        opened.append(BoltHarness(tmp_path, *arguments, **options))
        return opened[-1]

    yield build
    for bolt in opened:
        await bolt.close()


@pytest.fixture
def bolt(new_bolt: NewBolt) -> BoltHarness:
    """A harness with one project in which all people have all rights."""
    return new_bolt()
