"""Socket Mode: commands are answered while connections are refreshed, cut or half-open."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession, ClientTimeout, web
from aiohttp.test_utils import TestServer
from slack_sdk.socket_mode.request import SocketModeRequest
from structlog.testing import capture_logs

from bot.sandbox.slack import Fault
from bot.slack.client import SlackClient, new_session
from bot.slack.errors import SocketModeOff, TooManyConnections
from bot.slack.receivers.connections import Connection, connect
from bot.slack.receivers.socket_mode import SocketModeReceiver
from tests.integration.slack.socket_mode import (
    GREETING,
    LINE,
    Greeter,
    slack_with,
    taking,
    until_ready,
)
from tests.support.polling import wait_until
from tests.support.socket_mode_client import Wire
from tests.support.stream import streaming

#: Limit of an ack here, far below Slack's three seconds, on a busy machine.
SOON = 2.5


async def test_stopped_receiver_reports_a_problem_and_has_no_connection() -> None:
    async with slack_with() as slack, taking(slack) as receiver:
        assert receiver.problem is None

        await receiver.stop(1)

        assert receiver.problem == "The bot is starting, or stopping."
        assert (receiver.live, slack.sockets.connections, slack.sockets.registered) == (0, 0, 0)


async def test_ack_carries_the_text_of_the_answer() -> None:
    async with slack_with() as slack, taking(slack):
        ack = await slack.people.types("rina", "#ops", LINE)

        assert (ack.ok, ack.body) == (True, GREETING)
        assert slack.complaints == []


async def test_second_connection_opens_after_the_stagger() -> None:
    async with slack_with() as slack, taking(slack, stagger=0.2) as receiver:
        assert receiver.live == 1

        await slack.until(lambda: slack.sockets.connections == 2)


async def test_refresh_of_both_connections_loses_no_command() -> None:
    """Envelopes of the old connections are answered until Slack has closed them."""
    async with slack_with(lost_envelopes="drop", latency=0.05) as slack, taking(slack) as receiver:
        counts: list[int] = []
        slack.world.events.subscribe(lambda item: counts.append(item.data.get("connections", 2)))
        async with streaming(slack, every=0.01) as stream:
            for reason in ("refresh_requested", "warning"):
                await slack.sockets.disconnect(reason, grace=1.5)
                await asyncio.sleep(1.7)

        assert (stream.unanswered, len(stream.acks) > 50) == (0, True)
        assert stream.slowest < SOON
        assert (min(counts), max(counts)) == (2, 4)
        assert (receiver.live, slack.sockets.connections, slack.complaints) == (2, 2, [])


async def test_cut_of_one_connection_loses_no_command() -> None:
    async with slack_with() as slack, taking(slack) as receiver:
        async with streaming(slack, every=0.01) as stream:
            for _ in range(3):
                await asyncio.sleep(0.1)
                await slack.sockets.cut(count=1)
                await slack.until(lambda: slack.sockets.connections == 2)
            await wait_until(lambda: receiver.live == 2)

        assert (stream.unanswered, stream.slowest < SOON) == (0, True)


@pytest.mark.parametrize("lost", ["redeliver", "drop"])
async def test_envelope_of_a_cut_connection_comes_again_unless_slack_drops_it(lost: str) -> None:
    async with slack_with(lost_envelopes=lost, ack_seconds=2.0) as slack, Wire(slack) as wire:
        await wire.receive()
        typing = asyncio.create_task(slack.people.types("rina", "#ops", LINE))
        await wire.receive()
        await slack.sockets.cut()
        async with taking(slack):
            assert (await typing).ok is (lost == "redeliver")


async def test_both_connections_are_replaced_after_a_cut() -> None:
    async with slack_with() as slack, taking(slack) as receiver:
        await slack.sockets.cut()
        await slack.until(lambda: slack.sockets.connections == 2)

        assert (await slack.people.types("rina", "#ops", LINE)).ok
        assert receiver.problem is None


async def test_silent_connection_is_given_up_after_six_to_ten_seconds_and_an_idle_one_stays() -> (
    None
):
    async with slack_with() as slack, taking(slack) as receiver:
        slack.sockets.half_open(count=1)
        began = time.monotonic()
        await slack.until(lambda: slack.sockets.connections == 1)
        silence = time.monotonic() - began
        await wait_until(lambda: receiver.live == 2)

        assert 6 <= silence <= 10
        assert len(slack.called("apps.connections.open")) == 3


async def test_problem_is_reported_only_without_any_connection() -> None:
    async with slack_with() as slack, taking(slack) as receiver:
        slack.faults.add("apps.connections.open", Fault(kind="status", status=503), times=1000)
        await slack.sockets.cut(count=1)
        assert receiver.problem is None

        await slack.sockets.cut()
        await slack.until(lambda: len(slack.called("apps.connections.open")) >= 5)

        why = "Slack did not answer; please try again in a moment."
        assert receiver.problem == f"Socket Mode is not connected: {why}"
        slack.faults.clear()
        await until_ready(receiver)


async def test_disabled_socket_mode_is_reported_until_it_is_enabled() -> None:
    async with slack_with() as slack, taking(slack) as receiver:
        await slack.sockets.disconnect("link_disabled")
        await slack.until(lambda: len(slack.called("apps.connections.open")) >= 5)

        assert SocketModeOff("link_disabled").sentence in str(receiver.problem)
        slack.sockets.enabled = True
        await until_ready(receiver)


async def test_connection_that_slack_refuses_is_reported_until_there_is_room() -> None:
    async with slack_with() as slack, AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(Wire(slack)) for _ in range(10)]
        for wire in wires:
            await wire.receive()
        session = await stack.enter_async_context(new_session())
        client = SlackClient(slack.bot_token, slack.api_url, session)
        receiver = SocketModeReceiver(slack.app_token, client)
        receiver.start(Greeter().async_dispatch)
        await wait_until(
            lambda: TooManyConnections("too_many_websockets").sentence in str(receiver.problem)
        )
        await wires[0].close()
        await until_ready(receiver)
        await receiver.stop(1)


async def test_cut_connections_are_not_replaced_by_a_second_one_while_slack_counts_them() -> None:
    async with slack_with(cut_connection_seconds=1.0) as slack, taking(slack) as receiver:
        assert receiver.notice is None
        await slack.sockets.cut()
        await wait_until(lambda: receiver.plan.counted == 3)

        assert (receiver.live, receiver.plan.counted, receiver.plan.excess) == (1, 3, 2)
        assert "(excess: 2)" in str(receiver.notice)
        await wait_until(lambda: receiver.notice is None)  # Slack has dropped them
        assert (receiver.live, receiver.plan.counted) == (2, 2)


async def test_envelope_repeated_during_its_dispatch_gets_the_same_answer() -> None:
    app = Greeter()
    app.free.clear()
    async with slack_with() as slack, taking(slack, app):
        typing = asyncio.create_task(slack.people.types("rina", "#ops", LINE))
        await wait_until(lambda: app.asked)
        await slack.sockets.cut()  # it comes again over the next connection
        await slack.until(lambda: slack.sockets.connections == 2)
        app.free.set()

        assert (await typing).ok
        assert len(app.asked) == 1


async def test_ack_is_sent_over_the_other_connection_when_its_own_is_closed() -> None:
    app = Greeter()
    app.free.clear()
    async with slack_with(lost_envelopes="drop") as slack, taking(slack, app) as receiver:
        typing = asyncio.create_task(slack.people.types("rina", "#ops", LINE))
        await wait_until(lambda: app.asked)
        await slack.sockets.cut()
        await slack.until(lambda: slack.sockets.connections == 2)
        await wait_until(lambda: receiver.live == 2)  # each has its hello
        app.free.set()

        assert (await typing).ok


async def test_stop_answers_the_envelopes_in_flight() -> None:
    app = Greeter()
    app.free.clear()
    async with slack_with(lost_envelopes="drop") as slack, taking(slack, app) as receiver:
        typing = [asyncio.create_task(slack.people.types("rina", "#ops", LINE)) for _ in range(4)]
        await wait_until(lambda: len(app.asked) == 4)
        ending = asyncio.create_task(receiver.stop(2))
        await asyncio.sleep(0.05)
        app.free.set()
        await ending

        assert [(await typed).ok for typed in typing] == [True] * 4


async def test_stop_waits_no_longer_than_its_timeout() -> None:
    app = Greeter()
    app.free.clear()
    async with slack_with(ack_seconds=0.5) as slack, taking(slack, app) as receiver:
        typing = asyncio.create_task(slack.people.types("rina", "#ops", LINE))
        await wait_until(lambda: app.asked)
        async with asyncio.timeout(SOON):
            await receiver.stop(0.1)

        assert (await typing).error == "operation_timeout"


async def test_connection_outlives_the_timeout_of_api_calls() -> None:
    app = Greeter()
    async with slack_with() as slack, ClientSession(timeout=ClientTimeout(total=0.2)) as session:
        receiver = SocketModeReceiver(
            slack.app_token, SlackClient("xoxb-1", slack.api_url, session)
        )
        receiver.start(app.async_dispatch)
        await slack.until(lambda: slack.sockets.connections)
        await asyncio.sleep(0.5)

        assert (await slack.people.types("rina", "#ops", LINE)).ok
        assert len(slack.called("apps.connections.open")) == 1
        await receiver.stop(1)


async def test_open_socket_without_a_hello_does_not_count_as_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bot.slack.receivers.connections.HELLO_TIMEOUT", 0.1)
    opened = 0

    async def open_connection(request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "url": f"ws://{request.host}/silent"})

    async def silent(request: web.Request) -> web.WebSocketResponse:
        nonlocal opened
        opened += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:  # answers pings and the close frame
            pass
        return socket

    app = web.Application()
    app.router.add_post("/api/apps.connections.open", open_connection)
    app.router.add_get("/silent", silent)
    async with TestServer(app) as server, new_session() as session:
        receiver = SocketModeReceiver(
            "xapp-1", SlackClient(None, f"{server.make_url('/api/')}", session)
        )
        receiver.start(Greeter().async_dispatch)
        await wait_until(lambda: opened > 2)  # it tries again
        problem, live = receiver.problem, receiver.live
        await receiver.stop(1)

    assert live == 0
    assert str(problem).startswith("Socket Mode is not connected:")


async def test_exception_while_reading_is_logged_and_closes_the_connection() -> None:
    def raise_error(_envelope: SocketModeRequest, _connection: Connection) -> None:
        raise RuntimeError("a bug")

    async with slack_with(ack_seconds=0.1) as slack, new_session() as session:
        client = SlackClient(slack.bot_token, slack.api_url, session)
        connection = await connect(client, slack.app_token, raise_error)
        with capture_logs() as logs:
            await slack.people.types("rina", "#ops", LINE)
            await asyncio.wait_for(connection.disconnecting.wait(), SOON)

        assert [line["event"] for line in logs] == ["a connection could not be read"]
        assert not connection.is_live
        await connection.close()
