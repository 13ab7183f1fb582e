"""Socket Mode: greeting, envelopes, acks in time, and connections that end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Literal

import aiohttp
import pytest

from bot.sandbox.slack import FakeSlackServer, Settings
from tests.integration.sandbox_slack.socket_mode_client import Wire
from tests.support.polling import wait_until

LINE = "/cancel-restore prod-eu 42"


@pytest.fixture
async def wire(slack: FakeSlackServer) -> AsyncIterator[Wire]:
    async with Wire(slack) as connection:
        assert (await connection.receive())["type"] == "hello"
        yield connection


async def test_connection_gets_hello_and_its_ticket_works_once(slack: FakeSlackServer) -> None:
    async with Wire(slack) as wire:
        hello = await wire.receive()

        assert (hello["type"], hello["num_connections"]) == ("hello", 1)
        assert hello["connection_info"] == {"app_id": slack.workspace.app.id}
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(wire.url)


async def test_without_an_ack_in_time_the_person_sees_a_timeout() -> None:
    async with FakeSlackServer(settings=Settings(ack_seconds=0.05)) as slack, Wire(slack) as wire:
        await wire.receive()

        ack = await slack.people.types("rina", "#ops", LINE)

        assert (ack.ok, ack.error) == (False, "operation_timeout")
        [shown] = slack.state.ephemerals("rina")
        assert "operation_timeout" in shown["text"]
        await wire.ack(await wire.receive())
        await slack.until(lambda: slack.complaints)
        assert "An ack is late" in slack.complaints[0]


async def test_eleventh_connection_is_rejected(slack: FakeSlackServer) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await (await stack.enter_async_context(Wire(slack))).receive()
        eleventh = await stack.enter_async_context(Wire(slack))

        frame = await eleventh.receive()

        assert (frame["type"], frame["reason"]) == ("disconnect", "too_many_websockets")
        assert await eleventh.ended()
        assert slack.sockets.connections == 10


@pytest.mark.parametrize("abruptly", [True, False])
async def test_connection_can_be_cut(slack: FakeSlackServer, wire: Wire, *, abruptly: bool) -> None:
    cutting = asyncio.create_task(slack.sockets.cut(abruptly=abruptly))

    assert await wire.ended()
    await cutting
    assert (slack.sockets.connections, slack.sockets.registered) == (0, 1 if abruptly else 0)


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


async def test_frame_that_is_not_an_ack_is_a_complaint(slack: FakeSlackServer, wire: Wire) -> None:
    await wire._socket.send_str("hello?")

    await slack.until(lambda: slack.complaints)

    assert "not an ack" in slack.complaints[0]


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


async def test_after_a_disconnect_envelopes_still_come_until_the_connection_ends(
    slack: FakeSlackServer, wire: Wire
) -> None:
    await slack.sockets.disconnect("refresh_requested", grace=0.1)
    await wire.receive()
    typing = asyncio.create_task(slack.people.types("rina", "#ops", LINE))
    envelope = await wire.receive()

    assert await wire.ended()
    await wire.ack(envelope)  # an envelope from before the end may still be acked
    assert (await typing).ok
    assert slack.sockets.connections == 0


async def test_connections_are_rejected_while_socket_mode_is_disabled(
    slack: FakeSlackServer, wire: Wire
) -> None:
    await slack.sockets.disconnect("link_disabled")

    assert (await wire.receive())["reason"] == "link_disabled"
    async with Wire(slack) as refused:
        assert (await refused.receive())["reason"] == "link_disabled"
    slack.sockets.enabled = True
    async with Wire(slack) as again:
        assert (await again.receive())["type"] == "hello"
