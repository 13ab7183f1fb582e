"""Sends signed commands on a fixed schedule, and measures each ack from its due time.

Runs as a separate process, so that it does not slow the bot; prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import selectors
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tests.tools.bench.sign import command, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = "127.0.0.1"

#: Seconds after which a command counts as unanswered; Slack's timeout is 3.
ANSWER_TIMEOUT = 30.0

#: Seconds until the first command is due.
START_DELAY = 0.05


class Sent(NamedTuple):
    """A command: its trigger, its due time and the time of its ack, in monotonic seconds.

    `status` is 0 without an answer.
    """

    trigger: str
    due: float
    acked: float
    status: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The load: `count` commands, `rate` per second, with the `texts` in turn."""

    port: int
    secret: str
    answers: str
    rate: float
    count: int
    texts: Sequence[str]


class Connections:
    """A pool of kept-alive connections; a new one is opened when all are busy."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: bytes) -> int:
        """Return the status of the answer, or 0 without one."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                return await self._send(request)
        except (OSError, EOFError, TimeoutError):
            return 0

    async def _send(self, request: bytes) -> int:
        if self._idle:
            reader, writer = self._idle.pop()
        else:
            reader, writer = await asyncio.open_connection(HOST, self._port)
        writer.write(request)
        status = await read_answer(reader)
        self._idle.append((reader, writer))
        return status

    def close(self) -> None:
        for _reader, writer in self._idle:
            writer.close()


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Read one HTTP/1.1 response; cheaper than an HTTP client."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, rest = head.partition(b"content-length:")
    if rest:
        await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
    elif b"transfer-encoding: chunked" in head:
        await reader.readuntil(b"0\r\n\r\n")
    return int(head.split(b" ", 2)[1])


async def send_all(plan: Plan) -> list[Sent]:
    """Send each command at its due time, independent of earlier answers."""
    made = [_made(plan, number) for number in range(plan.count)]
    connections = Connections(plan.port)
    begin = time.monotonic() + START_DELAY
    sending = []
    for number, (trigger, request) in enumerate(made):
        due = begin + number / plan.rate
        await asyncio.sleep(due - time.monotonic())
        sending.append(asyncio.create_task(_timed(connections, trigger, request, due)))
    sent = await asyncio.gather(*sending)
    connections.close()
    return sent


def _made(plan: Plan, number: int) -> tuple[str, bytes]:
    trigger = f"{time.monotonic_ns()}.{number}"
    text = plan.texts[number % len(plan.texts)]
    body = command(text, trigger, f"{plan.answers}/{trigger}")
    lines = [f"{name}: {value}" for name, value in signed(plan.secret, body).items()]
    head = ["POST /slack/events HTTP/1.1", f"Host: {HOST}:{plan.port}", *lines]
    return trigger, "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


async def _timed(connections: Connections, trigger: str, request: bytes, due: float) -> Sent:
    status = await connections.send(request)
    return Sent(trigger, due, time.monotonic(), status)


def precise_loop() -> asyncio.AbstractEventLoop:
    """Return a loop that sleeps with microsecond resolution; epoll has milliseconds."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", help="a Plan as JSON")
    plan = Plan(**json.loads(parser.parse_args().plan))
    gc.disable()
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        sent = runner.run(send_all(plan))
    json.dump(sent, sys.stdout)


if __name__ == "__main__":
    main()
