"""Two replicas rolled one after the other under load: nobody is unanswered, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.rolling_update.fleet import sailing

if TYPE_CHECKING:
    from tests.acceptance.rolling_update.fleet import Mode, Order


@pytest.mark.timeout(300)  # a busy machine takes its time; nothing here waits for long otherwise
@pytest.mark.parametrize("order", ["start first", "stop first"])
@pytest.mark.parametrize("mode", ["http", "socket"])
async def test_a_rolling_update_is_noticed_by_nobody(
    on_postgres: str, mode: Mode, order: Order
) -> None:
    async with sailing(on_postgres, mode) as fleet:
        await fleet.roll_under_load(order)

        assert fleet.crowd.troubles() == {}
        assert len(fleet.crowd.errands) > 30
        assert fleet.slack.complaints == []
        assert "Traceback" not in fleet.log()
        assert all('"request:created"' in bot.log for bot in fleet.ended)
