"""Starter and link clock of a job: on cards, announcements and lists."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.atlas import Fault, Kind, RestoreJob
from bot.sandbox.atlas.clock import wall_clock
from tests.acceptance.actions import APPROVE, ONE
from tests.acceptance.environment import BotEnvironment, open_environment, state_of
from tests.support.timings import SHORT_TIMINGS

Json = dict[str, Any]

TIMINGS = replace(SHORT_TIMINGS, job_facts_interval=0.3)
REFUSED = Fault(kind=Kind.ERROR, code="USER_UNAUTHORIZED", path="/events", times=None)


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[BotEnvironment]:
    """A bot that needs an approval, and reads the starter of a job again soon."""
    async with open_environment(tmp_path, ONE, timings=TIMINGS) as env:
        yield env


async def shows(env: BotEnvironment, job: RestoreJob, text: str, seconds: float = 20.0) -> str:
    """Wait until the job's card has the text; return the card as it is read."""

    def found() -> str | None:
        card = env.card(job.id)
        shown_text = env.slack.state.text_of(card) if card else ""
        return shown_text if text in shown_text else None

    shown_text = await env.slack.until(found, seconds)
    assert shown_text, env.slack.state.text_of(env.card(job.id) or {"blocks": []})
    return shown_text


async def test_refused_feed_hides_and_delays_nothing(env: BotEnvironment) -> None:
    env.atlas.faults.add(REFUSED)
    job = env.start_job()
    await env.submit_request(("prod-eu", job.id))
    await shows(env, job, "not known: Atlas does not let the bot read")
    await approve(env, job)
    assert (await env.wait_for_outcome(job.id)).state == "cancelled"
    _, metrics = await env.get("/metrics")
    assert "cancel_restore_cancelled_before_link_total 1.0" in metrics
    # Only the handshakes of other reads count: a refused feed is no error.
    refused = [call.path for call in env.atlas.calls if call.status == 401]
    logins = [path for path in refused if "/events" not in path]
    counted = re.findall(r'requests_total\{method="GET",status="401"\} (\d+)', metrics)
    assert len(refused) > len(logins)
    assert [int(each) for each in counted] == [len(logins)][: len(logins)]


async def test_waiting_request_ends_with_its_download_and_tells_who_asked(
    env: BotEnvironment,
) -> None:
    job = env.start_job()
    await env.submit_request(("prod-eu", job.id))
    await shows(env, job, "Waits for approval")
    job.cancel()
    ending = await env.wait_for_outcome(job.id)
    card = await shows(env, job, "The download has ended")

    assert ending.state == "over"
    assert "@Rina: The download" in ending.reply
    assert "the download had ended before. The download is cancelled." in ending.reply
    assert "Approve cancelling" not in card
    assert env.atlas.deletes(job.id) == []


@pytest.mark.parametrize(("cluster", "expires"), [("prod-eu", False), ("orders-sharded", True)])
async def test_link_that_was_used_is_never_called_absent(
    env: BotEnvironment, cluster: str, *, expires: bool
) -> None:
    job = env.start_job(cluster)
    await env.submit_request((cluster, job.id))
    await shows(env, job, "expected")
    job.release(wall_clock())
    if not expires:  # its string alone shows the link
        job.expires_at = None
        await shows(env, job, "live since")
    job.use()
    await shows(env, job, "used or withdrawn; it was live since")
    dialog = env.slack.state.text_of(await env.open_dialog((cluster, job.id), "abe"))
    await approve(env, job)
    ending = await env.wait_for_outcome(job.id)
    card = await shows(env, job, "was live from")
    await env.send_command("rina", "history")
    (listed,) = await env.wait_for_ephemerals("rina")
    _, metrics = await env.get("/metrics")

    assert ending.state == "cancelled"
    assert "had been live" in ending.reply
    assert replies_with(env, job, "was used or withdrawn; it was live since") == 1
    assert "after the link went live" in listed
    assert "cancel_restore_cancelled_before_link_total 0.0" in metrics
    assert not any(word in card + dialog for word in ("never live", "being prepared", "overdue"))


def replies_with(env: BotEnvironment, job: RestoreJob, text: str) -> int:
    """Count the replies in the card's thread with this text."""
    card = env.card(job.id)
    replies = env.slack.state.replies(card) if card else []
    return sum(text in env.slack.state.text_of(reply) for reply in replies)


async def approve(env: BotEnvironment, job: RestoreJob) -> None:
    card = env.card(job.id)
    assert card
    assert state_of(card) == "awaiting"
    await env.slack.people.clicks("ada", card, APPROVE)
