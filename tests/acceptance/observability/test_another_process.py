"""A request that another process finishes keeps its id in the log."""

import json
from pathlib import Path

from bot.sandbox.atlas import FakeAtlasServer, Fault, Kind
from bot.sandbox.slack import FakeSlackServer
from bot.timings import Timings
from tests.acceptance.environment import RUNNING, environment, open_process, request_of
from tests.support.polling import wait_until
from tests.support.process import BotProcess

POSTS = {"card posted", "card edited", "reply posted"}


def steps(log: str, request: str) -> list[str]:
    """Return the events that an operator finds by the id, without posts to Slack."""
    found = [json.loads(line)["event"] for line in log.splitlines() if request in line]
    return [event for event in found if event not in POSTS]


async def test_request_continued_by_another_process_keeps_its_log_id(tmp_path: Path) -> None:
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        environ = environment(slack, atlas, tmp_path)
        async with open_process(slack, atlas, tmp_path, environ) as env:
            killed = env.bot
            await env.submit_request(
                RUNNING, Fault(kind=Kind.HANG, method="DELETE", path=RUNNING[1])
            )
            await wait_until(lambda: "atlas:cancel_sent" in killed.log)
            await wait_until(lambda: not atlas.faults.active)  # the DELETE has reached Atlas
            killed.kill()
            first = killed.log
        with BotProcess(environ, Timings()) as other:
            await other.ready()
            ending = await env.wait_for_outcome(RUNNING[1], seconds=40)
            await other.stop()
            second = other.log
        request = request_of(ending.message)

    assert steps(first, request) == [
        "command typed",
        "dialog opened",
        "job looked up",
        "request:created",
        "request:approved",
        "request:cancelling",
        "atlas:cancel_sent",
    ]
    assert steps(second, request) == [
        "request:taken_over",
        "atlas:cancel_sent",
        "atlas:cancel_answered",
        "request:cancelled",
    ]
