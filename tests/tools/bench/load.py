"""Sends signed commands on a schedule that waits for no answer, and times each ack from its due.

Run as a program, so that it shares nothing with what it measures: one JSON line comes out.
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

#: Seconds after which a command counts as not answered; Slack gives 3.
GIVEN_UP = 30.0

#: Seconds before the first command is due.
RUN_UP = 0.05


class Sent(NamedTuple):
    """A command: its trigger, when it was due and when its ack was there, in monotonic seconds.

    `status` is 0 where no answer came.
    """

    trigger: str
    due: float
    acked: float
    status: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent: `count` commands, `rate` in a second, the `texts` in turn."""

    port: int
    secret: str
    answers: str
    rate: float
    count: int
    texts: Sequence[str]


class Connections:
    """Kept alive and used again; one more is opened when all are busy."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: bytes) -> int:
        """Return the status of the answer, or 0 where there was none."""
        try:
            async with asyncio.timeout(GIVEN_UP):
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
    """Read one answer of HTTP/1.1 to its end: a client of a few microseconds."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, rest = head.partition(b"content-length:")
    if rest:
        await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
    elif b"transfer-encoding: chunked" in head:
        await reader.readuntil(b"0\r\n\r\n")
    return int(head.split(b" ", 2)[1])


async def send_all(plan: Plan) -> list[Sent]:
    """Send each command when it is due, whatever became of those before."""
    made = [_made(plan, number) for number in range(plan.count)]
    connections = Connections(plan.port)
    begin = time.monotonic() + RUN_UP
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
    """Return a loop that sleeps to the microsecond: epoll's clock, the default, counts in ms."""
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
