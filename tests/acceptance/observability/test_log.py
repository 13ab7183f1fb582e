"""The log of a request: one line per step, each with the request's id."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot.log_config import configure_logging
from bot.sandbox.atlas import Fault
from bot.sandbox.atlas.faults import Kind
from tests.acceptance.environment import RUNNING, BotEnvironment, Json, open_environment, request_of
from tests.support.polling import wait_until

#: Events of each request, with any outcome.
ASKED = ["command typed", "dialog opened", "job looked up", "request:created"]

#: Events of posts to Slack, which run beside the others.
POSTS = {"card posted", "card edited", "reply posted"}


@contextmanager
def log_of_the_bot() -> Iterator[io.StringIO]:
    """Write the log as JSON lines, at INFO, and put everything back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logging("INFO", "json", stream)
    try:
        yield stream
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with log_of_the_bot() as stream:
        yield stream


def lines(log: io.StringIO) -> list[Json]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def grep(log: io.StringIO, request: str) -> list[str]:
    """Return the events of the lines with the id, as an operator would search for it."""
    return [json.loads(x)["event"] for x in log.getvalue().splitlines() if request in x]


def without_posts(events: list[str]) -> list[str]:
    return [event for event in events if event not in POSTS]


async def ended(env: BotEnvironment, job: tuple[str, str], log: io.StringIO) -> str:
    """Wait for the outcome and for the line of its reply; return the request's id."""
    ending = await env.wait_for_outcome(job[1], seconds=20)
    outcome = f"request:{ending.state}"
    # It is written when the delivery is recorded.
    await wait_until(lambda: any(each.get("audit_event") == outcome for each in replies(log)))
    return request_of(ending.message)


def replies(log: io.StringIO) -> list[Json]:
    return [x for x in lines(log) if x["event"] == "reply posted"]


async def test_cancellation_logs_one_line_per_step_with_its_id(
    env: BotEnvironment, log: io.StringIO
) -> None:
    env.atlas.faults.add(Fault(kind=Kind.DELAY, seconds=0.5, path="/events", times=1))
    await env.open_dialog(RUNNING)
    shown = partial(env.slack.state.view_of, "rina")
    await wait_until(lambda: "dana@" in env.slack.state.text_of(shown() or {}))  # read again
    await env.slack.people.submits("rina", shown() or {}, {"reason": "by mistake"})
    request = await ended(env, RUNNING, log)
    found = grep(log, request)

    assert without_posts(found) == [
        *ASKED,
        "request:approved",
        "request:cancelling",
        "atlas:cancel_sent",
        "atlas:cancel_answered",
        "request:cancelled",
    ]
    assert [event for event in found if event in POSTS - {"card edited"}] == [
        "card posted",
        "reply posted",
    ]
    others = {x["event"] for x in lines(log) if x.get("request") != request}
    assert others <= {"this replica leads"}
    assert {x["level"] for x in lines(log)} == {"info"}


def by_event(log: io.StringIO, event: str) -> list[dict[str, Any]]:
    """Return the fields of lines with this event, without those of all lines."""
    common = {"event", "level", "logger", "timestamp", "request"}
    found = [x for x in lines(log) if x["event"] == event]
    return [{k: v for k, v in x.items() if k not in common} for x in found]


async def test_command_log_line_has_the_parsed_job_and_not_the_text(
    env: BotEnvironment, log: io.StringIO
) -> None:
    await env.send_command("rina", "nonsense xoxc-typed-by-mistake")
    await env.send_command("rina", f"prod-eu {RUNNING[1]}")
    typed = by_event(log, "command typed")

    assert typed == [
        {"actor": "U0RINA0001", "channel": "C0OPS00001", "route": "text"},
        {
            "actor": "U0RINA0001",
            "channel": "C0OPS00001",
            "route": "job",
            "cluster": "prod-eu",
            "job": RUNNING[1],
        },
    ]


async def test_dialog_with_a_refusal_is_logged(tmp_path: Path, log: io.StringIO) -> None:
    async with open_environment(tmp_path, {"BOT_REQUESTERS": "U0ADA00001"}) as env:
        await env.open_dialog(RUNNING)
    trail = [x for x in lines(log) if "request" in x]

    assert [x["event"] for x in trail] == [
        "command typed",
        "dialog opened",
        "dialog shows an error",
    ]
    assert len({x["request"] for x in trail}) == 1
