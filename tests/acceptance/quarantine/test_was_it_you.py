"""The person whose Atlas account started a download is asked, and disowns it."""

from pathlib import Path
from typing import Any

from bot.app import Bot
from bot.sandbox.atlas import Actor
from tests.acceptance.approvals.actions import ADA, record_of
from tests.acceptance.quarantine.environment import deletes, open_quarantine, quarantined
from tests.support.polling import wait_until

Json = dict[str, Any]

NOT_MINE = "cancel_restore_not_mine"


async def test_download_that_its_starter_disowns_is_cancelled_at_once(tmp_path: Path) -> None:
    """A keep that comes later is refused with the name of who answered."""
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="600") as env:
        job, card = await quarantined(env, Actor.user("Ada@Example.com"))
        state = env.slack.state

        def questions() -> list[Json]:
            return [m for m in state.messages(state.dm("ada")) if NOT_MINE in str(m["blocks"])]

        await wait_until(lambda: bool(questions()))
        (question,) = questions()
        await env.slack.people.clicks("ada", question, NOT_MINE)

        assert (await env.wait_for_outcome(job.id)).state == "cancelled"
        assert deletes(env, job) == 1
        await wait_until(lambda: not questions())
        events = [line for chain in record_of(env.folder).values() for line in chain]
        disowned = [line["actor"] for line in events if line["event"] == "download:disowned"]
        assert disowned == [ADA]
        assert isinstance(env.bot, Bot)
        metrics, count = env.bot.metrics, 'downloads_disowned_total{project="shop-prod"} 1.0'
        await wait_until(lambda: count in metrics.render().decode())
        request = card["metadata"]["event_payload"]["request"]
        await env.send_command("abe", f"keep {request} it is ours")
        (refused,) = await env.wait_for_ephemerals("abe")
        assert "@Ada, whose account started this download, answered that it was not" in refused
