"""A steady stream of commands through the fake Slack, and the ack of each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bot.sandbox.slack import Ack, FakeSlackServer


@dataclass(slots=True)
class Stream:
    """The ack of each command."""

    acks: list[Ack] = field(default_factory=list)

    @property
    def unanswered(self) -> int:
        """The number of commands without an ack within Slack's three seconds."""
        return sum(not ack.ok for ack in self.acks)

    @property
    def slowest(self) -> float:
        """The longest time from a command to its ack, in seconds."""
        return max((ack.seconds for ack in self.acks if ack.ok), default=0.0)


@asynccontextmanager
async def streaming(
    slack: FakeSlackServer, line: str = "/cancel-restore help", *, every: float = 0.02
) -> AsyncIterator[Stream]:
    """Send `line` repeatedly as Rina; at the end, wait for all acks."""
    stream, typed = Stream(), set[asyncio.Task[None]]()

    async def types() -> None:
        stream.acks.append(await slack.people.types("rina", "#ops", line))

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
