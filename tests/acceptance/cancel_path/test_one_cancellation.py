"""The main job, in every way in which the bot can be connected: one look, one click, one DELETE."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import pytest

from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET
from tests.acceptance.house import LIVE, RUNNING, House, is_loading, open_house, state_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bot.sandbox.atlas import FakeAtlasServer
    from bot.sandbox.slack import FakeSlackServer

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
    """Let the Atlas stand-in wrap its answers in one of the ways that the sources allow."""

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
async def test_a_download_is_cancelled(
    tmp_path: Path, version: str, envelope: str, http: bool, account: bool
) -> None:
    environ: dict[str, str | None] = {
        "MONGODB_ATLAS_API_VERSION": version,
        "MONGODB_ATLAS_ENVELOPE": str(envelope != "plain").lower(),
        **(SERVICE_ACCOUNT if account else {}),
    }
    async with open_house(tmp_path, environ, http=http, before=wrapping(envelope)) as house:
        await house.asks(RUNNING)
        ending = await house.ends(RUNNING[1])

        assert ending.state == "cancelled"
        assert "Cancelled: Atlas confirms it" in ending.card
        assert "is cancelled. Atlas confirms it." in ending.reply
        assert house.atlas.world.cancellations == [RUNNING[1]]
        assert f"/api/atlas/{version}/groups/" in house.atlas.calls[-1].path
        assert house.slack.complaints == []


async def test_a_warm_cancel_is_three_requests_after_the_submit(house: House) -> None:
    """GET, DELETE, GET, and no handshake: the nonce is warm."""
    view = await house.looks_up(RUNNING)
    since = len(house.atlas.calls)
    await house.slack.people.submits("rina", view, {"reason": "started by mistake"})
    await house.ends(RUNNING[1])

    assert house.wire(RUNNING[1], since) == ["GET", "DELETE", "GET"]
    assert all(call.nonce_reused for call in house.atlas.calls[since:])


async def test_the_dialog_shows_what_will_be_cancelled(house: House) -> None:
    view = await house.looks_up(RUNNING)
    shown = house.slack.state.text_of(view)
    job = house.atlas.world.job(RUNNING[1])

    for part in ("shop-prod", *RUNNING, job.snapshot_id, "download of a snapshot", "not there yet"):
        assert part in shown
    assert view["callback_id"] == "cancel_restore"
    assert view["submit"]["text"] == "Cancel the job"
    assert view["close"]["text"] == "Keep it"
    assert {"job", "reason"} <= {block["block_id"] for block in view["blocks"]}
    assert "Open in Atlas" in shown


async def test_a_request_without_approvals_costs_one_card_and_one_reply(house: House) -> None:
    await house.asks(LIVE)
    ending = await house.ends(LIVE[1])

    assert len(house.slack.state.messages("ops")) == 2
    assert ending.message["edits"] is not None
    assert "<@U0RINA0001>" in str(house.slack.state.replies(ending.message)[0]["blocks"])


async def test_a_slow_atlas_does_not_keep_the_dialog_from_opening(house: House) -> None:
    house.atlas.faults.add(Fault(kind=Kind.DELAY, method="GET", seconds=4.0))
    began = time.monotonic()
    ack = await house.types("rina", " ".join(RUNNING))
    loading = await house.slack.until(lambda: house.slack.state.view_of("rina"))
    opened = time.monotonic() - began

    assert ack.ok
    assert opened < 0.5
    assert loading is not None
    assert is_loading(loading)

    view = await house.dialog("rina")
    assert 3.5 < time.monotonic() - began < 8.0
    await house.slack.people.submits("rina", view, {"reason": "slow, but sure"})

    assert (await house.ends(RUNNING[1])).state == "cancelled"


async def test_a_dialog_that_was_closed_while_atlas_was_slow_changes_nothing(house: House) -> None:
    house.atlas.faults.add(Fault(kind=Kind.DELAY, method="GET", seconds=0.3))
    await house.types("rina", " ".join(RUNNING))
    await house.slack.until(lambda: house.slack.state.view_of("rina"))
    await house.slack.people.closes("rina")
    await house.slack.until(lambda: bool(house.slack.called("views.update")))

    assert house.slack.state.view_of("rina") is None
    assert house.slack.state.messages("ops") == []
    assert house.slack.state.ephemerals("rina") == []


async def test_card_and_outcome_carry_the_request_for_programs(house: House) -> None:
    await house.asks(RUNNING)
    ending = await house.ends(RUNNING[1])
    reply = house.slack.state.replies(ending.message)[-1]

    assert ending.message["metadata"]["event_type"] == "cancel_restore"
    payload = ending.message["metadata"]["event_payload"]
    assert set(payload) == {"request", "state"}
    assert reply["metadata"]["event_payload"] == payload
    assert state_of(reply) == "cancelled"
