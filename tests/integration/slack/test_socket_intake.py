"""Socket Mode keeps two connections: refreshed, cut or half-open, commands go on being answered."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp import ClientSession, ClientTimeout
from structlog.testing import capture_logs

from bot.sandbox.slack import Fault
from bot.slack.client import build_client, new_session
from bot.slack.errors import SocketModeOff, TooManyConnections
from bot.slack.receivers import SocketModeReceiver
from bot.slack.receivers.connection import connect
from tests.integration.sandbox_slack.wire import Wire
from tests.integration.slack.intakes import (
    GREETING,
    LINE,
    Greeter,
    slack_with,
    taking,
    until,
    until_ready,
)
from tests.support.stream import streaming

if TYPE_CHECKING:
    from slack_sdk.socket_mode.request import SocketModeRequest

    from bot.slack.receivers.connection import Connection

#: What an ack may take here, far below Slack's three seconds, on a busy machine.
SOON = 1.0


async def test_before_it_is_opened_and_after_its_end_nothing_is_ready() -> None:
    async with slack_with() as slack, taking(slack) as intake:
        assert await intake.trouble() is None

        await intake.stop(1)

        assert await intake.trouble() == "The bot is starting, or stopping."
        assert (intake.live, slack.sockets.connections) == (0, 0)


async def test_an_answer_goes_back_with_its_text() -> None:
    async with slack_with() as slack, taking(slack):
        ack = await slack.types("rina", "#ops", LINE)

        assert (ack.ok, ack.body) == (True, GREETING)
        assert slack.complaints == []


async def test_the_second_connection_comes_later_so_that_slack_refreshes_them_apart() -> None:
    async with slack_with() as slack, taking(slack, stagger=0.2) as intake:
        assert intake.live == 1

        await slack.until(lambda: slack.sockets.connections == 2)


async def test_the_second_connection_comes_at_once_when_the_first_is_lost() -> None:
    async with slack_with() as slack, taking(slack, stagger=60.0):
        await slack.sockets.cut()

        await slack.until(lambda: slack.sockets.connections == 2)


async def test_a_refresh_of_both_loses_nothing_and_their_successors_come_first() -> None:
    """What comes over the old connections is answered until Slack has closed them."""
    async with slack_with(lost_envelopes="drop", latency=0.05) as slack, taking(slack) as intake:
        counts: list[int] = []
        slack.world.news.subscribe(lambda item: counts.append(item.data.get("connections", 2)))
        async with streaming(slack, every=0.01) as stream:
            for reason in ("refresh_requested", "warning"):
                await slack.sockets.disconnect(reason, grace=0.7)
                await asyncio.sleep(0.9)

        assert (stream.unanswered, len(stream.acks) > 50) == (0, True)
        assert stream.slowest < SOON
        assert (min(counts), max(counts)) == (2, 4)
        assert (intake.live, slack.sockets.connections, slack.complaints) == (2, 2, [])


async def test_a_cut_of_one_connection_is_nothing_to_the_other() -> None:
    async with slack_with() as slack, taking(slack) as intake:
        async with streaming(slack, every=0.01) as stream:
            for _ in range(3):
                await asyncio.sleep(0.1)
                await slack.sockets.cut(count=1)
                await slack.until(lambda: slack.sockets.connections == 2)
            await until(lambda: intake.live == 2)

        assert (stream.unanswered, stream.slowest < SOON) == (0, True)


async def test_a_cut_of_both_is_over_in_a_moment() -> None:
    async with slack_with() as slack, taking(slack) as intake:
        await slack.sockets.cut()
        await slack.until(lambda: slack.sockets.connections == 2)

        assert (await slack.types("rina", "#ops", LINE)).ok
        assert await intake.trouble() is None


async def test_a_half_open_connection_is_dropped_in_time_for_the_other_to_answer() -> None:
    """Slack gives what it did not answer to the other one, within the three seconds of an ack."""
    async with slack_with() as slack, taking(slack) as intake:
        async with streaming(slack, every=0.05) as stream:
            slack.sockets.half_open(count=1)
            await slack.until(lambda: slack.sockets.connections == 1)
            await until(lambda: intake.live == 2)

        assert (stream.unanswered, stream.slowest < 3) == (0, True)
        assert intake.live == 2


async def test_with_one_connection_down_the_bot_is_ready_and_with_none_it_says_why() -> None:
    async with slack_with() as slack, taking(slack) as intake:
        slack.faults.add("apps.connections.open", Fault(kind="status", status=503), times=1000)
        await slack.sockets.cut(count=1)
        assert await intake.trouble() is None

        await slack.sockets.cut()
        await slack.until(lambda: len(slack.called("apps.connections.open")) >= 5)

        why = "Slack did not answer; please try again in a moment."
        assert await intake.trouble() == f"Socket Mode is not connected: {why}"
        slack.faults.clear()
        await until_ready(intake)


async def test_with_socket_mode_switched_off_the_trouble_says_so_until_it_is_on_again() -> None:
    async with slack_with() as slack, taking(slack) as intake:
        await slack.sockets.disconnect("link_disabled")
        await slack.until(lambda: len(slack.called("apps.connections.open")) >= 5)

        assert SocketModeOff("link_disabled").sentence in str(await intake.trouble())
        slack.sockets.enabled = True
        await until_ready(intake)


async def test_where_others_have_nine_connections_one_is_enough() -> None:
    async with slack_with() as slack, AsyncExitStack() as stack:
        for _ in range(9):
            await (await stack.enter_async_context(Wire(slack))).receive()
        intake = await stack.enter_async_context(taking(slack, stagger=0.01))
        await slack.until(lambda: len(slack.called("apps.connections.open")) >= 12)

        assert await intake.trouble() is None
        assert (intake.live, slack.sockets.connections) == (1, 10)
        assert [type(line.trouble) for line in intake.lines] == [type(None), TooManyConnections]


async def test_an_envelope_that_comes_again_is_handled_once_and_answered_again() -> None:
    app = Greeter()
    async with slack_with() as slack, taking(slack, app):
        await slack.types("rina", "#ops", LINE)

        again = await slack.redelivers()

        assert (again.ok, again.body, len(app.asked)) == (True, GREETING, 1)


async def test_an_envelope_that_comes_again_while_it_is_handled_waits_for_that() -> None:
    app = Greeter()
    app.free.clear()
    async with slack_with() as slack, taking(slack, app):
        typing = asyncio.create_task(slack.types("rina", "#ops", LINE))
        await until(lambda: app.asked)
        await slack.sockets.cut()  # it comes again over the next connection
        await slack.until(lambda: slack.sockets.connections == 2)
        app.free.set()

        assert (await typing).ok
        assert len(app.asked) == 1


async def test_what_could_not_be_answered_is_tried_again_when_it_comes_again() -> None:
    app = Greeter(statuses=[500])
    async with slack_with(ack_seconds=0.1) as slack, taking(slack, app):
        lost = await slack.types("rina", "#ops", LINE)

        again = await slack.redelivers()

        assert (lost.error, again.ok, len(app.asked)) == ("operation_timeout", True, 2)


async def test_an_ack_whose_connection_has_gone_goes_over_the_other_one() -> None:
    app = Greeter()
    app.free.clear()
    async with slack_with(lost_envelopes="drop") as slack, taking(slack, app):
        typing = asyncio.create_task(slack.types("rina", "#ops", LINE))
        await until(lambda: app.asked)
        await slack.sockets.cut()
        await slack.until(lambda: slack.sockets.connections == 2)
        app.free.set()

        assert (await typing).ok


async def test_at_the_end_what_is_in_flight_is_answered() -> None:
    app = Greeter()
    app.free.clear()
    async with slack_with(lost_envelopes="drop") as slack, taking(slack, app) as intake:
        typing = [asyncio.create_task(slack.types("rina", "#ops", LINE)) for _ in range(4)]
        await until(lambda: len(app.asked) == 4)
        ending = asyncio.create_task(intake.stop(2))
        await asyncio.sleep(0.05)
        app.free.set()
        await ending

        assert [(await typed).ok for typed in typing] == [True] * 4


async def test_an_end_waits_for_no_answer_longer_than_it_may() -> None:
    app = Greeter()
    app.free.clear()
    async with slack_with(ack_seconds=0.5) as slack, taking(slack, app) as intake:
        typing = asyncio.create_task(slack.types("rina", "#ops", LINE))
        await until(lambda: app.asked)
        async with asyncio.timeout(SOON):
            await intake.stop(0.1)

        assert (await typing).error == "operation_timeout"


async def test_of_two_replicas_that_are_rolled_under_load_every_command_is_answered() -> None:
    async with slack_with() as slack, AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(taking(slack)) for _ in range(2)]
        async with streaming(slack, every=0.005) as stream:
            for leaving in (first, second):
                await asyncio.sleep(0.2)
                await leaving.stop(1)
                await stack.enter_async_context(taking(slack))

        assert (stream.unanswered, len(stream.acks) > 50) == (0, True)
        assert stream.slowest < SOON


async def test_a_connection_outlives_the_time_limit_of_calls() -> None:
    app = Greeter()
    async with slack_with() as slack, ClientSession(timeout=ClientTimeout(total=0.2)) as session:
        intake = SocketModeReceiver(slack.app_token, build_client("xoxb-1", slack.api_url, session))
        intake.open(app)
        await slack.until(lambda: slack.sockets.connections)
        await asyncio.sleep(0.5)

        assert (await slack.types("rina", "#ops", LINE)).ok
        assert len(slack.called("apps.connections.open")) == 1
        await intake.stop(1)


async def test_a_mistake_of_ours_in_reading_is_logged_and_costs_one_connection() -> None:
    def mistaken(_envelope: SocketModeRequest, _connection: Connection) -> None:
        raise RuntimeError("a mistake of ours")

    async with slack_with(ack_seconds=0.1) as slack, new_session() as session:
        client = build_client(slack.bot_token, slack.api_url, session)
        connection = await connect(client, slack.app_token, mistaken)
        with capture_logs() as logs:
            await slack.types("rina", "#ops", LINE)
            await asyncio.wait_for(connection.leaving.wait(), SOON)

        assert [line["event"] for line in logs] == ["a connection could not be read on"]
        assert not connection.live
        await connection.close()
