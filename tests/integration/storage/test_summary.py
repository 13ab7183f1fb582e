"""The figures of `audit summary`, from what the watch and quarantine recorded."""

from dataclasses import replace
from datetime import timedelta

from bot.cancellation.lifecycle import State
from bot.cancellation.quarantine import Mode
from bot.storage.summary import read_summary
from tests.integration.storage.conftest import Stores
from tests.integration.storage.quarantine_bench import Bench
from tests.integration.storage.test_quarantine import ENFORCED, GRACE, pass_seconds
from tests.support.domain import ADA, allow


async def test_figures_name_starters_ends_and_delays(env: Stores) -> None:
    bench = Bench(env.database, replace(ENFORCED, mode=Mode.OBSERVE))
    bench.begin(1)
    await bench.start()
    bench.clock.advance(1)
    first, second = bench.begin(2), bench.begin(20)
    bench.show_starter(first, "dana@shop.example")
    await bench.read_jobs()
    await bench.second()
    kept = await bench.request(second)
    await bench.requests.decide(kept.id, State.KEPT, ADA, allow, reason="audit")
    await pass_seconds(bench, GRACE + 5)

    (figures,) = await env.database.read_snapshot(lambda db: read_summary(db, None))

    assert (figures["project"], figures["downloads"]) == ("shop-prod", 2)
    assert figures["by"] == {"dana@shop.example": 1, "not known": 1}
    assert (figures["kept"], figures["would_have_been_cancelled"]) == (1, 1)
    assert figures["seconds_to_announcement_worst"] is not None
    later = bench.clock.now + timedelta(days=1)
    assert await env.database.read_snapshot(lambda db: read_summary(db, later)) == []
