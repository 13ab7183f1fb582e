"""Two replicas restarted in turn under load: every command is answered, and nothing is lost."""

import pytest

from bot.timings import Timings
from tests.acceptance.rolling_update.replica_set import Mode, Order, open_replica_set
from tests.support.timings import SHORT_PROCESS_TIMINGS


@pytest.mark.timeout(300)  # a busy machine takes its time; nothing here waits for long otherwise
@pytest.mark.parametrize(
    ("mode", "order", "timings"),
    [("http", "start first", None), ("socket", "stop first", SHORT_PROCESS_TIMINGS)],
    ids=["http, start first, real timings", "socket, stop first"],
)
async def test_rolling_update_under_load_loses_and_delays_no_command(
    on_postgres: str, mode: Mode, order: Order, timings: Timings | None
) -> None:
    async with open_replica_set(on_postgres, mode, timings) as replicas:
        await replicas.roll_under_load(order)

        assert replicas.load.failures() == {}
        assert len(replicas.load.sessions) > 15
        assert replicas.slack.complaints == []
        assert "Traceback" not in replicas.log()
        assert all('"request:created"' in bot.log for bot in replicas.ended)
