"""The figures of `audit summary`, from what the watch and quarantine recorded."""

from dataclasses import replace
from datetime import timedelta

from bot.cancellation.lifecycle import State
from bot.cancellation.quarantine import Mode
from bot.storage.audit_log import read_summary
from tests.integration.storage.conftest import Stores
from tests.integration.storage.quarantine_environment import (
    ENFORCED,
    GRACE,
    QuarantineEnv,
    pass_seconds,
)
from tests.support.domain import ADA, allow


async def test_figures_name_starters_ends_and_delays(env: Stores) -> None:
    quarantine = QuarantineEnv(env.database, replace(ENFORCED, mode=Mode.OBSERVE))
    quarantine.begin(1)
    await quarantine.start()
    quarantine.clock.advance(1)
    first, second = quarantine.begin(2), quarantine.begin(20)
    quarantine.show_starter(first, "dana@shop.example")
    await quarantine.read_jobs()
    await quarantine.second()
    kept = await quarantine.request(second)
    await quarantine.requests.decide(kept.id, State.KEPT, ADA, allow, reason="audit")
    await pass_seconds(quarantine, GRACE + 5)

    found = await env.database.read_snapshot(lambda db: read_summary(db, None))
    (figures,) = found.projects

    assert (figures["project"], figures["downloads"]) == ("shop-prod", 2)
    assert figures["by"] == {"dana@shop.example": 1, "not known": 1}
    assert (figures["kept"], figures["would_have_been_cancelled"]) == (1, 1)
    assert figures["seconds_to_announcement_worst"] is not None
    later = quarantine.clock.now + timedelta(days=1)
    found = await env.database.read_snapshot(lambda db: read_summary(db, later))
    assert (found.projects, found.damaged) == ([], [])
