"""Health, readiness and metrics in both modes; and the signatures of requests over HTTP."""

import asyncio
import io
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET
from bot.sandbox.slack import FakeSlackServer, Fault, signed_headers
from tests.acceptance.environment import RUNNING, BotEnvironment, open_environment

FORM = "application/x-www-form-urlencoded"


async def get(env: BotEnvironment, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(env.url + path) as answer:
        return answer.status, await answer.text()


async def readiness(env: BotEnvironment, wanted: int, seconds: float = 20.0) -> dict[str, object]:
    """Ask until /readyz has the status that is wanted."""
    async with asyncio.timeout(seconds):
        while True:
            status, body = await get(env, "/readyz")
            if status == wanted:
                return dict(json.loads(body))
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("http", [False, True])
async def test_running_bot_is_alive_and_ready(tmp_path: Path, http: bool) -> None:
    async with open_environment(tmp_path, http=http) as env:
        assert (await get(env, "/healthz"))[0] == 200
        ready = await readiness(env, 200)
        assert ready["checks"] == {"slack": "ok", "database": "ok"}


async def test_bot_without_a_socket_is_alive_and_not_ready(env: BotEnvironment) -> None:
    await readiness(env, 200)
    env.slack.faults.add("apps.connections.open", Fault(kind="status", status=503), times=1000)
    await env.slack.sockets.cut()
    trouble = await readiness(env, 503, 20)

    assert "Socket Mode is not connected" in str(trouble["checks"])
    assert (await get(env, "/healthz"))[0] == 200
    env.slack.faults.clear()
    await readiness(env, 200, 20)


async def test_bot_with_a_revoked_token_is_not_ready_over_http(tmp_path: Path) -> None:
    async with open_environment(tmp_path, http=True) as env:
        env.slack.faults.add("views.publish", Fault(kind="error", code="token_revoked"), times=2)
        await env.slack.people.opens_home("rina")
        trouble = await readiness(env, 503)

        assert "token" in str(trouble["checks"])


async def test_metrics_have_the_documented_names_and_count(env: BotEnvironment) -> None:
    await env.submit_request(RUNNING)
    await env.wait_for_outcome(RUNNING[1])
    status, page = await get(env, "/metrics")
    lines = page.splitlines()

    assert status == 200
    assert 'cancel_restore_requests_total{state="cancelled"} 1.0' in lines
    assert 'cancel_restore_atlas_requests_total{method="DELETE",status="204"} 1.0' in lines
    assert "cancel_restore_slack_connections 1.0" in lines  # the second one comes later
    for name in (
        "cancel_restore_atlas_request_seconds_bucket",
        "cancel_restore_ack_seconds_count",
        "cancel_restore_pending_requests",
    ):
        assert any(line.startswith(name) for line in lines), name
    assert RUNNING[1] not in page


def command(text: str) -> bytes:
    return urlencode({"command": "/cancel-restore", "text": text, "user_id": "U0RINA0001"}).encode()


def signed(secret: str, body: bytes, at: float) -> dict[str, str]:
    return signed_headers(secret, body, at, FORM)


#: Each makes headers from (secret, body) that Slack would not send.
FORGED: dict[str, Callable[[str, bytes], dict[str, str]]] = {
    "no signature": lambda _secret, _body: {"Content-Type": FORM},
    "another secret": lambda _secret, body: signed("guessed", body, time.time()),
    "too old": lambda secret, body: signed(secret, body, time.time() - 301),
    "too new": lambda secret, body: signed(secret, body, time.time() + 320),
    "another body": lambda secret, body: signed(secret, body + b"x", time.time()),
    "no number as time": lambda secret, body: {
        **signed(secret, body, time.time()),
        "X-Slack-Request-Timestamp": "noon",
    },
    "an empty time": lambda secret, body: {
        **signed(secret, body, time.time()),
        "X-Slack-Request-Timestamp": "",
    },
    "an endless time": lambda secret, body: {
        **signed(secret, body, time.time()),
        "X-Slack-Request-Timestamp": "9" * 400,
    },
    "an odd signature": lambda secret, body: {
        **signed(secret, body, time.time()),
        "X-Slack-Signature": "v0=\u00e9\u00e9",
    },
}

#: Signed, and yet nothing that Slack would send.
MALFORMED = {
    "nothing": b"",
    "no form": b"\xff\xfe\x00",
    "no JSON": b"payload=notjson",
    "a JSON list": b"payload=[]",
    "a JSON number": b"payload=1",
    "an empty object": b"payload={}",
    "an odd type": b"payload=" + json.dumps({"type": "block_actions"}).encode(),
    "a view without its parts": b"payload=" + json.dumps({"type": "view_submission"}).encode(),
    "deep JSON": b"payload=" + b"[" * 5000,
}


async def test_unsigned_request_is_rejected_without_a_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with open_environment(tmp_path, http=True) as env:
        body, secret = command(" ".join(RUNNING)), env.slack.signing_secret
        for name, forge in FORGED.items():
            ack = await env.slack.http.post(body, forge(secret, body))
            assert ack.status in (400, 401, 403), (name, ack)
        for name, malformed in MALFORMED.items():
            ack = await env.slack.http.post(malformed, signed(secret, malformed, time.time()))
            assert ack.status is not None, (name, ack)
            assert 400 <= ack.status < 500, (name, ack)
        assert await status_of_a_huge_body(env) == 413

        assert env.slack.state.views_of("rina") == []
        assert env.atlas.deletes() == []
        await env.submit_request(RUNNING)
        assert (await env.wait_for_outcome(RUNNING[1])).state == "cancelled"
    written = capfd.readouterr()
    assert "Traceback" not in written.out + written.err


async def status_of_a_huge_body(env: BotEnvironment) -> int:
    huge = b"text=" + b"x" * (2 * 1024 * 1024)
    headers = signed(env.slack.signing_secret, huge, time.time())
    async with aiohttp.ClientSession() as session:
        answer = await session.post(
            f"{env.url}/slack/events", data=io.BytesIO(huge), headers=headers
        )
        return answer.status


async def test_signed_request_within_the_time_window_is_accepted(tmp_path: Path) -> None:
    async with open_environment(tmp_path, http=True) as env:
        challenge = json.dumps({"type": "url_verification", "challenge": "abc", "token": "x"})
        body = challenge.encode()
        at = time.time() - 280
        headers = signed_headers(env.slack.signing_secret, body, at, "application/json")
        ack = await env.slack.http.post(body, headers)

        assert (ack.status, ack.body) in [(200, {"challenge": "abc"}), (200, "abc")]


async def test_socket_mode_accepts_no_payloads_over_http(env: BotEnvironment) -> None:
    async with aiohttp.ClientSession() as session:
        answer = await session.post(f"{env.url}/slack/events", data=command("help"))

        assert answer.status == 404


ACCOUNT: dict[str, str | None] = {
    "MONGODB_ATLAS_PUBLIC_API_KEY": None,
    "MONGODB_ATLAS_PRIVATE_API_KEY": None,
    "MONGODB_ATLAS_CLIENT_ID": CLIENT_ID,
    "MONGODB_ATLAS_CLIENT_SECRET": CLIENT_SECRET,
    "BOT_WATCH_CHANNEL": "C0OPS00001",
    "BOT_WATCH_INTERVAL": "1",
}


async def metric(env: BotEnvironment, name: str, at_least: float) -> float:
    """Wait until a metric of one series has reached a value."""
    async with asyncio.timeout(10):
        while True:
            _, text = await get(env, "/metrics")
            found = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
            if found and float(found[1]) >= at_least:
                return float(found[1])
            await asyncio.sleep(0.1)


async def test_metrics_have_the_secret_the_watch_and_refused_logins(tmp_path: Path) -> None:
    def expiring(_slack: FakeSlackServer, atlas: FakeAtlasServer) -> None:
        atlas.world.service_accounts[CLIENT_ID].expires_at = "2030-01-01T00:00:00Z"

    async with open_environment(tmp_path, ACCOUNT, before=expiring) as env:
        read = await metric(env, "cancel_restore_watch_last_success_timestamp_seconds", 1)
        expires = await metric(env, "cancel_restore_atlas_secret_expires_timestamp_seconds", 1)
        refused = await metric(env, "cancel_restore_atlas_login_refused_total", 0)
        env.atlas.world.service_accounts[CLIENT_ID].secret = "another"
        env.atlas.token_issuer.forget()
        await metric(env, "cancel_restore_atlas_login_refused_total", 1)

    assert abs(read - time.time()) < 60
    assert expires == datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    assert refused == 0
