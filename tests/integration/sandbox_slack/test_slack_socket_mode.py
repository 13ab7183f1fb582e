"""Socket Mode: greeting, envelopes, acks in time, and connections that end."""

import asyncio
from contextlib import AsyncExitStack
from typing import Literal

import pytest

from bot.sandbox.slack import FakeSlackServer, Settings
from tests.integration.sandbox_slack.socket_mode_client import Wire
from tests.support.polling import wait_until

LINE = "/cancel-restore prod-eu 42"


async def test_eleventh_connection_is_rejected(slack: FakeSlackServer) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await (await stack.enter_async_context(Wire(slack))).receive()
        eleventh = await stack.enter_async_context(Wire(slack))

        frame = await eleventh.receive()

        assert (frame["type"], frame["reason"]) == ("disconnect", "too_many_websockets")
        assert await eleventh.ended()
        assert slack.sockets.connections == 10


@pytest.mark.parametrize("half_open", [True, False])
async def test_cut_connection_counts_and_gets_payloads_for_a_time(*, half_open: bool) -> None:
    settings = Settings(ack_seconds=0.1, cut_connection_seconds=1.0)
    async with FakeSlackServer(settings=settings) as slack, Wire(slack) as wire:
        await wire.receive()
        if half_open:
            slack.sockets.half_open()
            await wire.close()
            await slack.until(lambda: slack.sockets.connections == 0)
        else:
            await slack.sockets.cut()
        async with Wire(slack) as other:
            assert (await other.receive())["num_connections"] == 2
            typing = [asyncio.create_task(slack.people.types("rina", "#ops", LINE)) for _ in "12"]
            await other.ack(await other.receive())
            assert [(await typed).ok for typed in typing].count(True) == 1
            await wait_until(lambda: slack.sockets.registered == 1)


@pytest.mark.parametrize("lost", ["redeliver", "drop"])
async def test_lost_envelope_is_redelivered_or_dropped_as_configured(
    lost: Literal["redeliver", "drop"],
) -> None:
    settings = Settings(ack_seconds=0.5, lost_envelopes=lost, cut_connection_seconds=0)
    async with FakeSlackServer(settings=settings) as slack, Wire(slack) as one, Wire(slack) as two:
        await asyncio.gather(one.receive(), two.receive())
        slack.sockets.half_open(1)
        typing = [asyncio.create_task(slack.people.types("rina", "#ops", LINE)) for _ in range(2)]
        await two.ack(await two.receive())  # one of them was sent here first
        await slack.sockets.cut(count=1)
        if lost == "redeliver":
            again = await two.receive()
            assert (again["retry_attempt"], again["retry_reason"]) == (1, "timeout")
            await two.ack(again)

        acks = [await typed for typed in typing]

        assert [ack.ok for ack in acks].count(True) == (2 if lost == "redeliver" else 1)
