"""The Socket Mode receiver with an app that only greets, on the fake Slack server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.sandbox.slack import FakeSlackServer
from bot.slack.client import SlackClient, new_session
from bot.slack.receivers.socket_mode import SocketModeReceiver
from bot.timings import DEFAULT_TIMINGS
from tests.support.polling import wait_until
from tests.support.timings import LONG_TIMEOUT_SLACK

Json = dict[str, Any]
LINE = "/cancel-restore help"
GREETING = {"text": "Hello."}
SHORT_PAUSES = replace(DEFAULT_TIMINGS, reconnect_pause=0.01, second_pause=0.5, excess_grace=0.1)


@dataclass(slots=True)
class Greeter:
    """An app that counts its payloads and greets, immediately or when `free` is set."""

    asked: list[Json] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    free: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.free.set()

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        self.asked.append(req.body)
        await self.free.wait()
        status = self.statuses.pop(0) if self.statuses else 200
        headers: Json = {"content-type": ["application/json;charset=utf-8"]}
        return BoltResponse(status=status, body=json.dumps(GREETING), headers=headers)


@asynccontextmanager
async def slack_with(**settings: Any) -> AsyncIterator[FakeSlackServer]:
    changed = {"cut_connection_seconds": 0.0, **settings}
    async with FakeSlackServer(settings=replace(LONG_TIMEOUT_SLACK, **changed)) as slack:
        yield slack


@asynccontextmanager
async def taking(
    slack: FakeSlackServer,
    app: Greeter | None = None,
    *,
    stagger: float = 0.0,
) -> AsyncIterator[SocketModeReceiver]:
    """Start a receiver, as of a process of its own, and wait for all its connections."""
    async with new_session() as session:
        client = SlackClient(slack.bot_token, slack.api_url, session)
        timings = replace(SHORT_PAUSES, connection_stagger=stagger)
        receiver = SocketModeReceiver(slack.app_token, client, timings)
        receiver.start((app or Greeter()).async_dispatch)
        try:
            await wait_until(lambda: receiver.live == (1 if stagger else 2))
            yield receiver
        finally:
            await receiver.stop(1)


async def until_ready(receiver: SocketModeReceiver) -> None:
    """Wait until the receiver has at least one connection."""
    await wait_until(lambda: receiver.live)
    assert receiver.problem is None
