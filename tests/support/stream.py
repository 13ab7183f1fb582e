"""A steady stream of commands through the fake Slack, and the ack of each."""

import asyncio
import time
from bisect import bisect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bot.sandbox.slack import Ack, FakeSlackServer


@dataclass(slots=True)
class Stream:
    """The commands: the time of sending (monotonic) and the ack of each."""

    commands: list[tuple[float, Ack]] = field(default_factory=list)

    @property
    def acks(self) -> list[Ack]:
        return [ack for _, ack in self.commands]

    @property
    def unanswered(self) -> int:
        """The number of commands without an ack within Slack's three seconds."""
        return sum(not ack.ok for ack in self.acks)

    @property
    def slowest(self) -> float:
        """The longest time from a command to its ack, in seconds."""
        return max((ack.seconds for ack in self.acks if ack.ok), default=0.0)

    @property
    def overtaken(self) -> int:
        """The most commands that were sent while one waited for its ack.

        The sender shares the event loop: on a busy machine it slows down as the acks do.
        """
        sent_at = sorted(sent for sent, _ in self.commands)
        waits = ((sent, sent + ack.seconds) for sent, ack in self.commands if ack.ok)
        return max((bisect(sent_at, end) - bisect(sent_at, sent) for sent, end in waits), default=0)


@asynccontextmanager
async def streaming(
    slack: FakeSlackServer, line: str = "/cancel-restore help", *, every: float = 0.02
) -> AsyncIterator[Stream]:
    """Send `line` repeatedly as Rina; at the end, wait for all acks."""
    stream, typed = Stream(), set[asyncio.Task[None]]()

    async def types() -> None:
        sent = time.monotonic()
        stream.commands.append((sent, await slack.people.types("rina", "#ops", line)))

    async def go_on() -> None:
        while True:
            typed.add(asyncio.create_task(types()))
            await asyncio.sleep(every)

    going = asyncio.create_task(go_on())
    try:
        yield stream
    finally:
        going.cancel()
        await asyncio.gather(*typed)
        await asyncio.gather(going, return_exceptions=True)
