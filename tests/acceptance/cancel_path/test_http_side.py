"""Health, readiness and metrics in both modes; and the signatures of requests over HTTP."""

import asyncio
import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.atlas.example import CLIENT_ID
from bot.sandbox.slack import FakeSlackServer, Fault
from tests.acceptance.environment import RUNNING, SERVICE_ACCOUNT, BotEnvironment, open_environment
from tests.support.domain import PROJECT_ID


async def readiness(env: BotEnvironment, wanted: int, seconds: float = 20.0) -> dict[str, object]:
    """Ask until /readyz has the status that is wanted."""
    async with asyncio.timeout(seconds):
        while True:
            status, body = await env.get("/readyz")
            if status == wanted:
                return dict(json.loads(body))
            await asyncio.sleep(0.1)


async def test_bot_without_a_socket_is_alive_and_not_ready(env: BotEnvironment) -> None:
    await readiness(env, 200)
    env.slack.faults.add("apps.connections.open", Fault(kind="status", status=503), times=1000)
    await env.slack.sockets.cut()
    trouble = await readiness(env, 503, 20)

    assert "Socket Mode is not connected" in str(trouble["checks"])
    assert (await env.get("/healthz"))[0] == 200
    env.slack.faults.clear()
    await readiness(env, 200, 20)


async def test_metrics_have_the_documented_names_and_count(env: BotEnvironment) -> None:
    await env.submit_request(RUNNING)
    await env.wait_for_outcome(RUNNING[1])
    status, page = await env.get("/metrics")
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


async def test_socket_mode_accepts_no_payloads_over_http(env: BotEnvironment) -> None:
    async with aiohttp.ClientSession() as session:
        answer = await session.post(f"{env.url}/slack/events", data=b"payload=x")

        assert answer.status == 404


ACCOUNT: dict[str, str | None] = {
    **SERVICE_ACCOUNT,
    "BOT_WATCH_CHANNEL": "C0OPS00001",
    "BOT_WATCH_INTERVAL": "1",
}


async def metric(env: BotEnvironment, name: str, at_least: float) -> float:
    """Wait until a metric of one series has reached a value."""
    async with asyncio.timeout(10):
        while True:
            _, text = await env.get("/metrics")
            found = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
            if found and float(found[1]) >= at_least:
                return float(found[1])
            await asyncio.sleep(0.1)


async def test_metrics_have_the_secret_the_watch_and_refused_logins(tmp_path: Path) -> None:
    def expiring(_slack: FakeSlackServer, atlas: FakeAtlasServer) -> None:
        atlas.world.service_accounts[CLIENT_ID].expires_at = "2030-01-01T00:00:00Z"

    async with open_environment(tmp_path, ACCOUNT, before=expiring) as env:
        name = r'_timestamp_seconds\{project="shop-prod"\}'  # that of the project in Atlas
        read = await metric(env, f"cancel_restore_watch_last_success{name}", 1)
        expires = await metric(env, f"cancel_restore_atlas_secret_expires{name}", 1)
        _, text = await env.get("/metrics")
        refused = await metric(env, "cancel_restore_atlas_login_refused_total", 0)
        env.atlas.world.service_accounts[CLIENT_ID].secret = "another"
        env.atlas.token_issuer.forget()
        await metric(env, "cancel_restore_atlas_login_refused_total", 1)

    assert abs(read - time.time()) < 60
    assert expires == datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    assert refused == 0
    assert PROJECT_ID not in text
