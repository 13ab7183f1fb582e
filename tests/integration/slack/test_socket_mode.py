"""Bolt's Socket Mode handler on the fake Slack: it connects, reconnects, answers and leaves."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession

from bot.cancellation.policy import Policy
from bot.sandbox.slack import FakeSlackServer, Fault, Settings
from bot.slack import app as slack_app
from bot.slack.app import SlackApp
from bot.slack.client import Identity, SlackClient, new_session
from bot.slack.context import SlackContext
from tests.support.core import CoreEnvironment, core_environment
from tests.support.domain import REF
from tests.support.polling import wait_until
from tests.support.slack_context import slack_context

HELP = "/cancel-restore help"
#: What a reconnect may take on a busy machine.
SOON = 15.0


@dataclass
class Connected:
    """The bot's side, started on a fake Slack."""

    slack: FakeSlackServer
    app: SlackApp
    context: SlackContext
    acks: list[float] = field(default_factory=list)

    async def until_ready(self, seconds: float = SOON) -> None:
        async with asyncio.timeout(seconds):
            while await self.app.problem():  # noqa: ASYNC110 - what is awaited sets no event
                await asyncio.sleep(0.05)

    async def until_problem(self) -> str:
        async with asyncio.timeout(SOON):
            while (problem := await self.app.problem()) is None:  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.05)
        return problem


def context_on(
    slack: FakeSlackServer, core: CoreEnvironment, session: ClientSession
) -> SlackContext:
    """Return the context of the listeners."""
    space = slack.workspace
    return slack_context(
        core,
        SlackClient(slack.bot_token, slack.api_url, session),
        Identity(team=space.team.id, user=space.app.bot_user),
    )


@asynccontextmanager
async def started(slack: FakeSlackServer) -> AsyncIterator[Connected]:
    """Start the app and leave it to the test to wait for its connection."""
    policy = Policy(channel=slack.workspace.channel("ops").id)
    async with core_environment(policy) as core, new_session() as session:
        context, acks = context_on(slack, core, session), list[float]()
        app = SlackApp(context, slack.app_token, acks.append)
        running = asyncio.create_task(app.run())
        try:
            yield Connected(slack, app, context, acks)
        finally:
            await app.stop()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlackServer]:
    # Without the time in which Slack loses what it sends to a connection that was cut.
    async with FakeSlackServer(settings=Settings(cut_connection_seconds=0.0)) as server:
        yield server


@pytest.fixture
async def bot(slack: FakeSlackServer) -> AsyncIterator[Connected]:
    async with started(slack) as connected:
        await connected.until_ready()
        yield connected


async def test_command_is_acknowledged_with_its_answer_and_measured(bot: Connected) -> None:
    ack = await bot.slack.people.types("rina", "#ops", HELP)

    assert ack.ok
    assert "/cancel-restore prod-eu" in str(ack.body)
    assert len(bot.acks) == 1
    assert bot.acks[0] < 1


async def test_list_dialog_and_submit_pass_slacks_rules(bot: Connected) -> None:
    """The list comes by the response URL, and its button opens the dialog."""
    slack = bot.slack
    await slack.people.types("rina", "#ops", "/cancel-restore")
    (shown,) = await slack.until(lambda: slack.state.ephemerals("rina"))
    await slack.people.clicks("rina", shown, "cancel_restore_open")
    view = await slack.until(
        lambda: (view := slack.state.view_of("rina")) and view.get("submit") and view
    )
    ack = await slack.people.submits("rina", view, {"reason": "wrong cluster"})
    (request,) = await bot.context.requests.store.of_download(REF.project_id, REF.job_id)

    assert ack.ok
    assert slack.state.view_of("rina") is None
    assert (request.requester, request.reason) == ("U0RINA0001", "wrong cluster")
    assert slack.complaints == []


async def test_refused_click_is_told_by_the_response_url(bot: Connected) -> None:
    slack = bot.slack
    await slack.people.types("rina", "#ops", "/cancel-restore")
    (shown,) = await slack.until(lambda: slack.state.ephemerals("rina"))
    slack.faults.add("views.open", Fault(kind="error", code="expired_trigger_id"))
    await slack.people.clicks("rina", shown, "cancel_restore_open")
    told = await slack.until(lambda: slack.state.ephemerals("rina")[1:])

    assert "could not be opened in time" in slack.state.text_of(told[0])
    assert not slack.called("chat.postEphemeral")


async def test_cut_connection_is_replaced_and_clicks_work_again(bot: Connected) -> None:
    await bot.slack.sockets.cut()
    await bot.slack.until(lambda: bot.slack.sockets.connections == 1, SOON)
    await bot.until_ready()

    assert (await bot.slack.people.types("rina", "#ops", HELP)).ok


async def test_refreshed_connection_is_replaced(bot: Connected) -> None:
    before = len(bot.slack.called("apps.connections.open"))
    await bot.slack.sockets.disconnect("refresh_requested", grace=0.5)
    await bot.slack.until(lambda: len(bot.slack.called("apps.connections.open")) > before, SOON)
    await wait_until(lambda: bot.slack.sockets.connections == 1)
    await bot.until_ready()

    assert (await bot.slack.people.types("rina", "#ops", HELP)).ok


async def test_silent_connection_is_a_problem_within_15_seconds_and_is_replaced(
    bot: Connected,
) -> None:
    bot.slack.sockets.half_open()
    bot.slack.faults.add("apps.connections.open", Fault(kind="status"), times=1)
    began = time.monotonic()
    await bot.until_problem()
    noticed = time.monotonic() - began
    await bot.until_ready(30)

    assert noticed < 12
    assert (await bot.slack.people.types("rina", "#ops", HELP)).ok


async def test_connection_that_slack_refuses_at_the_start_is_tried_again(
    slack: FakeSlackServer,
) -> None:
    slack.faults.add("apps.connections.open", Fault(kind="status"), times=2)
    async with started(slack) as bot:
        await slack.until(lambda: len(slack.called("apps.connections.open")) == 1)
        await wait_until(lambda: bot.app._problem != "Slack is not connected yet.")
        problem = await bot.app.problem()
        await bot.until_ready()

        assert "Slack failed or did not answer" in str(problem)
        assert (await slack.people.types("rina", "#ops", HELP)).ok


async def test_handler_that_does_not_reconnect_is_replaced(
    bot: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_app, "REPLACE_AFTER", 0.5)
    handler = bot.app._handler
    assert handler
    handler.client.auto_reconnect_enabled = handler.client.default_auto_reconnect_enabled = False
    await bot.slack.sockets.cut()
    await wait_until(lambda: bot.app._handler not in {handler, None})
    await bot.until_ready()

    assert (await bot.slack.people.types("rina", "#ops", HELP)).ok


async def test_refused_token_is_a_problem_until_slack_takes_it_again(
    slack: FakeSlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_app, "TOKEN_TEST_INTERVAL", 0.2)
    async with started(slack) as bot:
        await bot.until_ready()
        slack.faults.add("auth.test", Fault(kind="error", code="token_revoked"))
        problem = await bot.until_problem()
        await bot.until_ready()

        assert "refuses the bot's token" in problem


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("interactive", {"type": "block_actions", "actions": [{"action_id": "x"}]}),
        ("interactive", {"type": "a_new_one"}),
        ("events_api", {"type": "event_callback", "event": {"type": "app_home_opened"}}),
        ("a_new_kind", {}),
    ],
)
async def test_unknown_payload_is_acknowledged_and_the_next_one_answered(
    bot: Connected, kind: str, payload: dict[str, Any]
) -> None:
    unknown = await bot.slack.sockets.send(kind, payload)
    known = await bot.slack.people.types("rina", "#ops", HELP)

    assert (unknown.ok, unknown.body) == (True, None)
    assert known.ok


async def test_stop_acknowledges_the_click_that_is_being_handled_and_leaves(
    bot: Connected,
) -> None:
    """The lease was lost: no further click reaches this process."""
    slack = bot.slack
    await slack.people.types("rina", "#ops", f"/cancel-restore {REF.job_id}")
    view = await slack.until(
        lambda: (view := slack.state.view_of("rina")) and view.get("submit") and view
    )
    bot.context.directory._people._entries.clear()
    slack.faults.add("users.info", Fault(kind="delay", seconds=0.3))
    submitting = asyncio.create_task(slack.people.submits("rina", view, {"reason": "now"}))
    await asyncio.sleep(0.1)
    await bot.app.stop()

    assert (await submitting).ok
    assert slack.sockets.connections == 0
    assert "this process stops" in str(await bot.app.problem())
