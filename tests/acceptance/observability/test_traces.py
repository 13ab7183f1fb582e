"""The program exports traces to a collector; cancellation works without one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.sandbox.atlas import PLANTED_SECRET, PRIVATE_KEY, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.environment import (
    LIVE,
    BotEnvironment,
    environment,
    open_process,
    request_of,
)
from tests.acceptance.observability.collector import Collector
from tests.support.postgres import free_port
from tests.support.process import BotProcess

KEY_OF_THE_COLLECTOR = "key-of-the-collector"
REASON = "typed words"


@asynccontextmanager
async def open_traced_environment(
    folder: Path, collector_url: str
) -> AsyncIterator[BotEnvironment[BotProcess]]:
    """Start the program with spans exported to a collector that needs a key."""
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        environ = environment(slack, atlas, folder) | {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector_url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key={KEY_OF_THE_COLLECTOR}",
            "LOG_LEVEL": "DEBUG",
        }
        async with open_process(slack, atlas, folder, environ) as env:
            yield env


async def cancelled(env: BotEnvironment) -> str:
    """Cancel a job whose link is live; return the request's id."""
    await env.submit_request(LIVE, reason=REASON)
    ending = await env.wait_for_outcome(LIVE[1], seconds=20)

    assert ending.state == "cancelled"
    return request_of(ending.message)


async def test_request_is_one_trace_from_command_to_outcome(tmp_path: Path) -> None:
    async with Collector().open() as collector:
        async with open_traced_environment(tmp_path, collector.url) as env:
            request = await cancelled(env)
            code = await env.bot.stop()
        found = list(collector.spans())
    trail = {span.name for _, span in found if span.trace_id.hex() == request}

    assert code == 0
    assert trail >= {
        "command /cancel-restore",
        "dispatch job",
        "Slack views.open",
        "view_submission cancel_restore",
        "run",
        "Atlas GET",
        "Atlas DELETE",
        "post card",
        "post reply",
        "Slack chat.postMessage",
    }
    assert {service for service, _ in found} == {"cancel-restore"}
    assert collector.headers["x-api-key"] == KEY_OF_THE_COLLECTOR


async def test_spans_have_neither_secrets_nor_typed_text(tmp_path: Path) -> None:
    async with Collector().open() as collector:
        async with open_traced_environment(tmp_path, collector.url) as env:
            await env.send_command("ada", "help")
            await cancelled(env)
            await env.bot.stop()
            log, app = env.bot.log, env.slack.workspace.app
        sent = b"".join(collector.bodies).decode(errors="replace")

    for secret in (
        app.bot_token,
        app.app_token,
        PRIVATE_KEY,
        PLANTED_SECRET,
        ".tar.gz",
        REASON,
        "response_url",
        "/commands/",  # of an address that answers without a token
        "wss://",
        KEY_OF_THE_COLLECTOR,
    ):
        assert secret not in sent
    assert KEY_OF_THE_COLLECTOR not in log


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "refuses"])
async def test_unreachable_collector_delays_neither_cancellation_nor_shutdown(
    tmp_path: Path, *, hangs: bool
) -> None:
    async with Collector(hangs=True).open() as collector:
        url = collector.url if hangs else f"http://127.0.0.1:{free_port()}"
        async with open_traced_environment(tmp_path, url) as env:
            await cancelled(env)
            code = await env.bot.stop()
            log = env.bot.log

    assert code == 0
    assert "Traceback" not in log
    assert "stopped" in log


async def test_invalid_tracing_variable_stops_the_start_with_a_message(tmp_path: Path) -> None:
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        environ = environment(slack, atlas, tmp_path) | {
            "OTEL_TRACES_EXPORTER": "console",
            "OTEL_BSP_MAX_QUEUE_SIZE": "0",
        }
        with BotProcess(environ) as process:
            code = await process.ended()
            log = process.log

    assert code == 2
    assert log.splitlines()[-1] == (
        "OpenTelemetry does not take its settings "
        "(max_queue_size must be a positive integer.): check the OTEL_ variables."
    )
