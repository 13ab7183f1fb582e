"""A new download that no approver keeps is cancelled, and its card shows each step."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.atlas import Actor, Kind, RestoreJob
from bot.sandbox.atlas import Fault as AtlasFault
from bot.sandbox.slack import Ack
from bot.sandbox.slack import Fault as SlackFault
from tests.acceptance.approvals.actions import ADA, APPROVE, OPS, record_of, shows
from tests.acceptance.environment import BotEnvironment, open_environment, state_of
from tests.support.polling import wait_until
from tests.support.timings import SHORT_TIMINGS

Json = dict[str, Any]

KEEP = "cancel_restore_keep"
DANA = Actor.user("dana@shop.example")
ADA_IN_ATLAS = Actor.user("Ada@example.com")
SLACK_IS_AWAY = SlackFault(kind="status", status=503)

QUARANTINE = {
    "BOT_WATCH_CHANNEL": OPS,
    "BOT_WATCH_INTERVAL": "1",
    "BOT_QUARANTINE": "enforce",
    "BOT_QUARANTINE_GRACE": "2",
    "BOT_APPROVERS": f"{ADA},U0ABE00001",
}


@asynccontextmanager
async def open_quarantine(folder: Path, **environ: str | None) -> AsyncIterator[BotEnvironment]:
    """Open an environment whose watch has read every cluster."""
    timings = replace(SHORT_TIMINGS, job_facts_interval=0.3)
    given = {**QUARANTINE, **environ}
    async with open_environment(folder, given, timings=timings) as env:
        # All jobs of the example world are announced as already running.
        await wait_until(lambda: len(env.slack.state.messages("ops")) == 7)
        yield env


async def quarantined(env: BotEnvironment, by: Actor = DANA) -> tuple[RestoreJob, Json]:
    """Start a download; return it, and its card once it says that it is quarantined."""
    job = env.start_job(by=by)
    return job, await shows(env, job.id, "quarantined")


async def keep(env: BotEnvironment, card: Json) -> Ack:
    """Let Ada click *Keep it* and give a reason."""
    await env.slack.people.clicks("ada", card, KEEP)
    view = await env.wait_for_dialog("ada")
    return await env.slack.people.submits("ada", view, {"reason": "mine"})


def starter_in(card: Json | None) -> str:
    return "etl@shop.example" if "etl@shop.example" in str(card) else ""


def events(env: BotEnvironment) -> list[Json]:
    return [line for chain in record_of(env.folder).values() for line in chain]


def deletes(env: BotEnvironment, job: RestoreJob) -> int:
    return env.atlas_methods(job.id).count("DELETE")


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


@pytest.mark.parametrize(
    "fault",
    [
        SLACK_IS_AWAY,
        SlackFault(kind="delay", seconds=5.0),
        SlackFault(kind="ratelimited", seconds=3.0),
    ],
    ids=lambda fault: str(fault.kind),
)
async def test_starter_may_not_keep_while_slack_does_not_give_the_email(
    tmp_path: Path, fault: SlackFault
) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="6") as env:
        job, card = await quarantined(env, ADA_IN_ATLAS)
        env.slack.faults.add("users.info", fault, times=10_000)
        answer = await keep(env, card)
        assert answer.errors["reason"].endswith("nothing was done. Try again in a moment.")

        assert (await env.wait_for_outcome(job.id)).state == "cancelled"


@pytest.mark.parametrize("feed_is_late", [False, True])
async def test_keep_of_a_starter_who_becomes_known_later_is_void(
    tmp_path: Path, *, feed_is_late: bool
) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="4") as env:
        env.atlas.behaviour.event_delay = 0.0 if feed_is_late else 5.0
        if feed_is_late:
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


async def test_card_of_observe_has_the_cancellation_that_was_not_sent(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE="observe") as env:
        job, card = await quarantined(env)
        assert "Would be cancelled" in env.slack.state.text_of(card)

        outcome = await env.wait_for_outcome(job.id)

        assert outcome.state == "observed"
        assert "would have cancelled it" in outcome.card
        assert deletes(env, job) == 0
        assert [line["event"] for line in events(env)][-1] == "request:observed"


async def test_approver_cancels_immediately(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="600") as env:
        job, card = await quarantined(env)
        await env.slack.people.clicks("ada", card, APPROVE)

        outcome = await env.wait_for_outcome(job.id)
        assert outcome.state == "cancelled"
        assert deletes(env, job) == 1
        (approved,) = [line for line in events(env) if line["event"] == "request:approved"]
        assert approved["actor"] == ADA


async def test_expected_starter_who_becomes_known_keeps_the_download(tmp_path: Path) -> None:
    async with open_quarantine(
        tmp_path, BOT_QUARANTINE_GRACE="8", BOT_QUARANTINE_EXPECTED="etl, Dana@Shop.example"
    ) as env:
        env.atlas.behaviour.event_delay = 2.0
        job, _ = await quarantined(env)

        outcome = await env.wait_for_outcome(job.id)
        assert outcome.state == "kept"
        assert "dana@shop.example" in outcome.card
        assert deletes(env, job) == 0


async def test_download_beside_an_expected_one_that_is_not_listed_yet_is_not_kept(
    tmp_path: Path,
) -> None:
    async with open_quarantine(
        tmp_path, BOT_QUARANTINE_GRACE="14", BOT_QUARANTINE_EXPECTED="etl@shop.example"
    ) as env:
        slow = AtlasFault(kind=Kind.DELAY, path="orders-sharded/backup", seconds=7)
        env.atlas.faults.add(slow)
        await wait_until(lambda: env.atlas.faults.active == [])
        stranger = env.start_job(by=None)
        env.start_job("orders-sharded", by=Actor.user("etl@shop.example"))
        taken_for = env.slack.until(lambda: starter_in(env.card(stranger.id)), 10)
        assert await taken_for == "etl@shop.example"

        assert (await env.wait_for_outcome(stranger.id)).state == "cancelled"


async def test_job_that_ends_meanwhile_is_over(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="600") as env:
        job, _ = await quarantined(env)
        job.fail()

        assert (await env.wait_for_outcome(job.id, seconds=15)).state == "over"


async def test_persons_request_that_needs_no_approval_ends_the_quarantine(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="600") as env:
        job, _ = await quarantined(env)
        await env.submit_request(("prod-eu", job.id))

        await wait_until(lambda: len(env.cards(job.id)) == 2)
        assert (await env.wait_for_outcome(job.id)).state == "cancelled"
        assert deletes(env, job) == 1
        await wait_until(lambda: state_of(env.cards(job.id)[0]) == "over")


async def test_grace_time_starts_again_when_slack_was_unavailable(tmp_path: Path) -> None:
    async with open_quarantine(tmp_path, BOT_QUARANTINE_GRACE="3") as env:
        job, _ = await quarantined(env)
        env.slack.faults.add("*", SLACK_IS_AWAY, times=10_000)
        await asyncio.sleep(4.0)
        assert deletes(env, job) == 0
        env.slack.faults.clear()
        back_at = time.monotonic()

        await wait_until(lambda: deletes(env, job), 20)
        assert time.monotonic() - back_at >= 3.0
        assert (await env.wait_for_outcome(job.id)).state == "cancelled"
        assert deletes(env, job) == 1


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
