"""One cancellation in every transport and API version: one read, one click, one DELETE."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.environment import RUNNING, SERVICE_ACCOUNT, BotEnvironment, open_environment

Before = Callable[[FakeSlackServer, FakeAtlasServer], None]

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
        ("v2", "plain", True, False),
        ("v1.0", "content", False, False),
        ("v2", "bare-delete", False, False),
        ("v2", "honest-status", False, False),
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
        assert "is cancelled. Atlas confirms it. The link was never live (" in ending.reply
        assert env.atlas.world.cancellations == [RUNNING[1]]
        assert f"/api/atlas/{version}/groups/" in env.atlas.calls[-1].path


async def test_cancellation_with_a_warm_login_takes_three_calls(env: BotEnvironment) -> None:
    """GET, DELETE, GET, and no handshake: the nonce is warm.

    The first card shows the run, unless the outbox polls between the submit and the claim.
    """
    await env.open_dialog(RUNNING)
    # The dialog does not wait for a slow activity feed, and then reads the job once more.
    await env.slack.until(lambda: "dana@" in str(env.slack.state.view_of("rina")))
    since = len(env.atlas.calls)
    await env.slack.people.submits("rina", None, {"reason": "started by mistake"})
    await env.wait_for_outcome(RUNNING[1])

    assert env.atlas_methods(RUNNING[1], since) == ["GET", "DELETE", "GET"]
    assert [call.method for call in env.slack.calls].count("chat.update") in {1, 2}
    assert all(call.nonce_reused for call in env.atlas.calls[since:])
