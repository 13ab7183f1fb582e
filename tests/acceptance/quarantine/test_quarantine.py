"""A new download that no approver keeps is cancelled, and its card shows each step."""

import time
from pathlib import Path
from typing import Any

from bot.sandbox.atlas import Actor, Kind
from bot.sandbox.atlas import Fault as AtlasFault
from bot.sandbox.slack import Ack
from bot.sandbox.slack import Fault as SlackFault
from tests.acceptance.approvals.actions import ADA, APPROVE, record_of, shows
from tests.acceptance.environment import BotEnvironment
from tests.acceptance.quarantine.environment import KEEP, deletes, open_quarantine, quarantined

Json = dict[str, Any]

ADA_IN_ATLAS = Actor.user("Ada@example.com")
SLACK_IS_AWAY = SlackFault(kind="status", status=503)


async def keep(env: BotEnvironment, card: Json) -> Ack:
    """Let Ada click *Keep it* and give a reason."""
    await env.slack.people.clicks("ada", card, KEEP)
    view = await env.wait_for_dialog("ada")
    return await env.slack.people.submits("ada", view, {"reason": "mine"})


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


async def test_starter_may_not_keep_the_own_download(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="5") as env:
        job, card = await quarantined(env, ADA_IN_ATLAS)
        await keep(env, card)

        assert (await env.wait_for_outcome(job.id)).state == "cancelled"


async def test_starter_may_not_keep_while_slack_does_not_give_the_email(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="3") as env:
        job, card = await quarantined(env, ADA_IN_ATLAS)
        env.slack.faults.add("users.info", SLACK_IS_AWAY, times=10_000)
        answer = await keep(env, card)
        assert answer.errors["reason"].endswith("nothing was done. Try again in a moment.")

        assert (await env.wait_for_outcome(job.id)).state == "cancelled"


async def test_keep_of_a_starter_who_becomes_known_later_is_void(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="4") as env:
        env.atlas.faults.add(AtlasFault(kind=Kind.STATUS, path="/events", times=None))
        job, card = await quarantined(env, ADA_IN_ATLAS)
        assert (await keep(env, card)).errors == {}
        await shows(env, job.id, "kept")
        env.atlas.faults.clear()

        card = await shows(env, job.id, "quarantined")
        voided_at = time.monotonic()
        assert "Will be cancelled" in env.slack.state.text_of(card)
        outcome = await env.wait_for_outcome(job.id)

        assert outcome.state == "cancelled"
        assert time.monotonic() - voided_at >= 3.0
        thread = "".join(map(env.slack.state.text_of, env.slack.state.replies(card)))
        assert thread.count("does not count: by Atlas's activity feed") == 1
        (voided,) = [line for line in events(env) if line["event"] == "request:keep_voided"]
        assert (voided["actor"], voided["detail"]["user"]) == (None, ADA)
        assert deletes(env, job) == 1


async def test_approver_cancels_immediately(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="600") as env:
        job, card = await quarantined(env)
        await env.slack.people.clicks("ada", card, APPROVE)

        outcome = await env.wait_for_outcome(job.id)
        assert outcome.state == "cancelled"
        assert deletes(env, job) == 1
        (approved,) = [line for line in events(env) if line["event"] == "request:approved"]
        assert approved["actor"] == ADA


async def test_downloads_beyond_the_limit_are_only_announced(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_LIMIT="1") as env:
        first, _ = await quarantined(env)
        second = env.start_job()

        announced = await env.slack.until(lambda: env.text_about(second.id), 10)
        assert "Limit reached" in str(announced)
        assert "[Cancel this job]" in str(announced)
        assert (await env.wait_for_outcome(first.id)).state == "cancelled"
        assert env.cards(second.id) == []
        _, metrics = await env.get("/metrics")
        assert "cancel_restore_quarantine_limit_reached_total" in metrics
