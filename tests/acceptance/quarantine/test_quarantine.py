"""A new download that no approver keeps is cancelled, and its card shows each step."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.atlas.clock import wall_clock
from bot.sandbox.slack import Ack
from tests.acceptance.actions import ADA, record_of
from tests.acceptance.environment import BotEnvironment
from tests.acceptance.quarantine.environment import KEEP, deletes, open_quarantine, quarantined
from tests.support.polling import wait_until

Json = dict[str, Any]


async def keep(env: BotEnvironment, card: Json) -> Ack:
    """Let Ada click *Keep it* and give a reason."""
    await env.slack.people.clicks("ada", card, KEEP)
    view = await env.wait_for_dialog("ada")
    return await env.slack.people.submits("ada", view, {"reason": "mine"})


def card_has(env: BotEnvironment, job_id: str, words: str) -> bool:
    return words in env.text_about(job_id)


def events(env: BotEnvironment) -> list[Json]:
    return [line for chain in record_of(env.folder).values() for line in chain]


async def test_download_that_is_not_kept_is_cancelled_after_the_grace_time(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path) as env:
        job, card = await quarantined(env)
        text = env.slack.state.text_of(card)
        assert "Will be cancelled" in text
        assert "[Keep it]" in text
        assert "[Cancel it now]" in text

        outcome = await env.wait_for_outcome(job.id)

        assert outcome.state == "cancelled"
        # The reader may be the thief: no instructions, and no mention.
        assert "again" not in outcome.reply + outcome.card
        assert "@Ada" not in outcome.reply + outcome.card
        assert deletes(env, job) == 1
        assert len(env.cards(job.id)) == 1
        names = [line["event"] for line in events(env)]
        assert names[0] == "request:created"
        assert names.count("request:approved") == names.count("atlas:cancel_sent") == 1
        assert {line["actor"] for line in events(env)} == {None}
        assert "watch" not in str(env.card(job.id)["metadata"])  # type: ignore[index]


async def test_approver_keeps_a_download_with_a_reason(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="4") as env:
        job, card = await quarantined(env)
        await env.slack.people.clicks("rina", card, KEEP)
        refused = (await env.wait_for_ephemerals("rina"))[-1]
        assert refused.startswith("You may not keep this download. This may be done by")

        await env.slack.people.clicks("ada", card, KEEP)
        view = await env.wait_for_dialog("ada")
        assert view["callback_id"] == "cancel_restore_keep_reason"
        await env.slack.people.submits("ada", view, {"reason": "quarterly audit"})

        outcome = await env.wait_for_outcome(job.id)
        assert outcome.state == "kept"
        assert "quarterly audit" in outcome.card
        (kept,) = [line for line in events(env) if line["event"] == "request:kept"]
        assert (kept["actor"], kept["detail"]["sentence"]) == (ADA, "quarterly audit")
        assert deletes(env, job) == 0


@pytest.mark.parametrize("state", ["observed", "kept", "refused"])
async def test_card_shows_the_link_as_an_announcement_does_after_the_end_of_its_request(
    tmp_path: Path, state: str
) -> None:
    mode = {"BOT_QUARANTINE": "observe" if state == "observed" else "enforce"}
    async with open_quarantine(tmp_path, **mode) as env:
        code = "CANNOT_CANCEL_AUTOMATED_RESTORE"
        env.atlas.faults.add(Fault(kind=Kind.ERROR, code=code, method="DELETE", times=None))
        job, card = await quarantined(env)
        if state == "kept":
            await keep(env, card)
        assert (await env.wait_for_outcome(job.id)).state == state

        text = ""
        for change, words in (
            (partial(job.release, wall_clock()), "live since"),
            (job.use, "used or withdrawn; it was live since"),
            (job.expire, "none any more"),
        ):
            change()
            await wait_until(partial(card_has, env, job.id, words), 20)
            text = env.text_about(job.id)
            assert "as known when" not in text
        assert len(env.cards(job.id)) == 1
        assert "[Try again]" not in text
        assert "[Cancel this download]" not in text


async def test_downloads_beyond_the_limit_are_only_announced(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_LIMIT="1") as env:
        first, _ = await quarantined(env)
        second = env.start_job()

        announced = await env.slack.until(lambda: env.text_about(second.id), 10)
        assert "Limit reached" in str(announced)
        assert "[Cancel this download]" in str(announced)
        assert (await env.wait_for_outcome(first.id)).state == "cancelled"
        assert env.cards(second.id) == []
        _, metrics = await env.get("/metrics")
        assert "cancel_restore_quarantine_limit_reached_total" in metrics
