"""The receivers of docs/audit-webhook.md: the Python one runs, the pipeline can be parsed."""

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from bot.webhook import WebhookClient, ping
from tests.support.receiver import SECRET

PAGE = Path("docs/audit-webhook.md").read_text(encoding="utf-8")
PORT = "8099"


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def example() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process of the example, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    program = block("python").replace(PORT, port)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={"BOT_AUDIT_WEBHOOK_SECRET": SECRET},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        yield process, f"http://127.0.0.1:{port}/"
        process.kill()


async def test_python_receiver_takes_a_signed_event_once_and_rejects_another_secret(
    example: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = example
    event = ping(datetime.now(UTC))
    right = WebhookClient(SecretStr(url), SecretStr(SECRET))
    wrong = WebhookClient(SecretStr(url), SecretStr("whsec_b3RoZXI="))
    async with asyncio.timeout(10):
        while await right.post(event):  # noqa: ASYNC110 - the process is starting
            await asyncio.sleep(0.1)

    assert await right.post(event) is None
    assert await wrong.post(event) == "the answer was 401"
    await right.aclose()
    await wrong.aclose()
    process.kill()
    assert process.stdout
    assert [json.loads(line) for line in process.stdout] == [event.get_data()]


def test_python_receiver_has_twenty_lines() -> None:
    assert len([line for line in block("python").splitlines() if line]) <= 20


def test_pipeline_reads_what_the_bot_sends() -> None:
    config = yaml.safe_load(block("yaml"))

    assert set(config["sources"]["cancel_restore"]["headers"]) == {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
    assert config["sinks"]["archive"]["inputs"] == list(config["transforms"])
