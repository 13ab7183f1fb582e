"""Socket Mode: greeting, envelopes, acks in time, and connections that end."""

import asyncio
from typing import Literal

import aiohttp
import pytest

from bot.sandbox.slack import FakeSlackServer, Settings
from tests.support.polling import wait_until
from tests.support.socket_mode_client import Wire

LINE = "/cancel-restore prod-eu 42"


async def test_app_that_ends_while_it_connects_leaves_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeSlackServer(settings=Settings(latency=0.1)) as slack:
        slack.world.tickets.add("t1")
        async with aiohttp.ClientSession() as session:
            url = slack.api_url.replace("/api/", "/link/?ticket=t1")
            connecting = asyncio.create_task(session.ws_connect(url))
            await wait_until(lambda: not slack.world.tickets)
            connecting.cancel()
        await asyncio.sleep(0.2)  # until it would be connected

        assert slack.sockets.registered == 0
    assert caplog.records == []


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
