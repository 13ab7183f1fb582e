"""One cancellation in every transport and API version: one read, one click, one DELETE."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.sandbox.atlas import FakeAtlasServer, Fault, Kind
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.environment import (
    LIVE,
    RUNNING,
    BotEnvironment,
    is_loading,
    open_environment,
    state_of,
)

Before = Callable[[FakeSlackServer, FakeAtlasServer], None]

SERVICE_ACCOUNT: dict[str, str | None] = {
    "MONGODB_ATLAS_PUBLIC_API_KEY": None,
    "MONGODB_ATLAS_PRIVATE_API_KEY": None,
    "MONGODB_ATLAS_CLIENT_ID": CLIENT_ID,
    "MONGODB_ATLAS_CLIENT_SECRET": CLIENT_SECRET,
}

ENVELOPES = {
    "plain": None,
    "content": ("content", "status", True),
    "envelope": ("envelope", "status", True),
    "bare-delete": ("content", "bare", True),
    "honest-status": ("envelope", "bare", False),
}


def wrapping(name: str) -> Before:
    """Let the Atlas fake server wrap its answers in one of the ways that the sources allow."""

    def change(_slack: FakeSlackServer, atlas: FakeAtlasServer) -> None:
        if kind := ENVELOPES[name]:
            key, delete, hides = kind
            atlas.behaviour.envelope_key = key  # type: ignore[assignment]  # one of its literals
            atlas.behaviour.enveloped_delete = delete  # type: ignore[assignment]  # the same
            atlas.behaviour.envelope_hides_status = hides

    return change


@pytest.mark.parametrize(
    ("version", "envelope", "http", "account"),
    [
        *itertools.product(("v2", "v1.0"), ENVELOPES, (False,), (False,)),
        ("v2", "plain", True, False),
        ("v1.0", "content", True, False),
        ("v2", "plain", False, True),
        ("v1.0", "envelope", True, True),
    ],
)
async def test_submitted_download_is_cancelled(
    tmp_path: Path, version: str, envelope: str, http: bool, account: bool
) -> None:
    environ: dict[str, str | None] = {
        "MONGODB_ATLAS_API_VERSION": version,
        "MONGODB_ATLAS_ENVELOPE": str(envelope != "plain").lower(),
        **(SERVICE_ACCOUNT if account else {}),
    }
    async with open_environment(tmp_path, environ, http=http, before=wrapping(envelope)) as env:
        await env.submit_request(RUNNING)
        ending = await env.wait_for_outcome(RUNNING[1])

        assert ending.state == "cancelled"
        assert "Cancelled: Atlas confirms it" in ending.card
        assert "is cancelled. Atlas confirms it." in ending.reply
        assert env.atlas.world.cancellations == [RUNNING[1]]
        assert f"/api/atlas/{version}/groups/" in env.atlas.calls[-1].path
        assert env.slack.complaints == []


async def test_cancellation_with_a_warm_login_takes_three_calls(env: BotEnvironment) -> None:
    """GET, DELETE, GET, and no handshake: the nonce is warm."""
    view = await env.open_dialog(RUNNING)
    since = len(env.atlas.calls)
    await env.slack.people.submits("rina", view, {"reason": "started by mistake"})
    await env.wait_for_outcome(RUNNING[1])

    assert env.atlas_methods(RUNNING[1], since) == ["GET", "DELETE", "GET"]
    assert all(call.nonce_reused for call in env.atlas.calls[since:])


async def test_dialog_shows_the_details_of_the_job(env: BotEnvironment) -> None:
    view = await env.open_dialog(RUNNING)
    shown = env.slack.state.text_of(view)
    job = env.atlas.world.job(RUNNING[1])

    for part in (
        "shop-prod",
        *RUNNING,
        job.snapshot_id,
        "download of a snapshot",
        "*Download link*",
    ):
        assert part in shown
    assert view["callback_id"] == "cancel_restore"
    assert view["submit"]["text"] == "Cancel the job"
    assert view["close"]["text"] == "Keep it"
    assert {"job", "reason"} <= {block["block_id"] for block in view["blocks"]}
    assert "Open in Atlas" in shown


async def test_request_without_approvals_posts_one_card_and_one_reply(
    env: BotEnvironment,
) -> None:
    await env.submit_request(LIVE)
    ending = await env.wait_for_outcome(LIVE[1])

    assert len(env.slack.state.messages("ops")) == 2
    assert ending.message["edits"] is not None
    assert "<@U0RINA0001>" in str(env.slack.state.replies(ending.message)[0]["blocks"])


async def test_dialog_opens_while_atlas_is_slow(env: BotEnvironment) -> None:
    slow = Fault(kind=Kind.DELAY, method="GET", path="restoreJobs", seconds=4.0)
    env.atlas.faults.add(slow)
    began = time.monotonic()
    ack = await env.send_command("rina", " ".join(RUNNING))
    loading = await env.slack.until(lambda: env.slack.state.view_of("rina"))
    opened = time.monotonic() - began

    assert ack.ok
    assert opened < slow.seconds
    assert loading is not None
    assert is_loading(loading)

    view = await env.wait_for_dialog("rina")
    assert time.monotonic() - began >= slow.seconds
    await env.slack.people.submits("rina", view, {"reason": "slow, but sure"})

    assert (await env.wait_for_outcome(RUNNING[1])).state == "cancelled"


async def test_dialog_closed_while_loading_changes_nothing(
    env: BotEnvironment,
) -> None:
    env.atlas.faults.add(Fault(kind=Kind.DELAY, method="GET", seconds=0.3))
    await env.send_command("rina", " ".join(RUNNING))
    await env.slack.until(lambda: env.slack.state.view_of("rina"))
    await env.slack.people.closes("rina")
    await env.slack.until(lambda: bool(env.slack.called("views.update")))

    assert env.slack.state.view_of("rina") is None
    assert env.slack.state.messages("ops") == []
    assert env.slack.state.ephemerals("rina") == []


async def test_card_and_outcome_carry_metadata_of_the_request(env: BotEnvironment) -> None:
    await env.submit_request(RUNNING)
    ending = await env.wait_for_outcome(RUNNING[1])
    reply = env.slack.state.replies(ending.message)[-1]

    assert ending.message["metadata"]["event_type"] == "cancel_restore"
    payload = ending.message["metadata"]["event_payload"]
    assert set(payload) == {"request", "state"}
    assert reply["metadata"]["event_payload"] == payload
    assert state_of(reply) == "cancelled"
