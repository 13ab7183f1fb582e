"""A real Bolt app on the fake Slack, over each transport."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack import FakeSlackServer
from tests.integration.sandbox_slack.parts import (
    Json,
    actions,
    button,
    modal,
    plain,
    reason,
    section,
)

CARD: list[Json] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*waiting*"}},
    actions(button(value="r1")),
]


def view(text: str, channel: str) -> Json:
    texts = {"title": "Cancel a restore", "submit": "Cancel the job", "close": "Keep it"}
    texts_of_view = {name: plain(words) for name, words in texts.items()}
    return modal(section(text), reason(), private_metadata=channel, **texts_of_view)


def bolt_app(slack: FakeSlackServer, client: AsyncWebClient) -> AsyncApp:
    app = AsyncApp(client=client, signing_secret=slack.signing_secret, process_before_response=True)

    @app.command("/cancel-restore")
    async def command(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        if not body["text"]:
            await ack("Say which job.")
            return
        await ack()
        loading = view("Looking up …", body["channel_id"])
        opened = await client.views_open(trigger_id=body["trigger_id"], view=loading)
        await client.views_update(
            view_id=opened["view"]["id"],
            hash=opened["view"]["hash"],
            view=view(f"Job {body['text']}", body["channel_id"]),
        )

    @app.view("ask")
    async def submitted(ack: AsyncAck, view: Json, client: AsyncWebClient) -> None:
        why = view["state"]["values"]["reason"]["reason"]["value"]
        if why == "no":
            await ack(response_action="errors", errors={"reason": "Say more."})
            return
        await ack()
        await client.chat_postMessage(channel=view["private_metadata"], text=why, blocks=CARD)

    @app.action("approve")
    async def approved(ack: AsyncAck, body: Json, client: AsyncWebClient) -> None:
        await ack()
        by = body["user"]["id"]
        where = {"channel": body["channel"]["id"], "ts": body["message"]["ts"]}
        await client.chat_update(**where, text=f"approved by <@{by}>", blocks=[])

    return app


@pytest.fixture
async def over_socket_mode(slack: FakeSlackServer, client: AsyncWebClient) -> AsyncIterator[None]:
    handler: Any = AsyncSocketModeHandler(bolt_app(slack, client), slack.app_token)
    await handler.connect_async()
    await slack.until(lambda: slack.sockets.connections)
    yield
    await handler.close_async()


@pytest.fixture
async def over_http(client: AsyncWebClient) -> AsyncIterator[FakeSlackServer]:
    """Bolt checks signatures by the real time, so this fake Slack uses the real clock."""
    async with FakeSlackServer() as slack:
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        runner = web.AppRunner(bolt_app(slack, client).web_app(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        slack.http.request_url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
        yield slack
        await runner.cleanup()


async def run_a_request_to_its_approval(slack: FakeSlackServer) -> None:
    assert (await slack.people.types("rina", "#ops", "/cancel-restore 42")).ok
    shown = slack.state.view_of("rina")
    assert shown is not None
    assert slack.state.text_of(shown).splitlines() == [
        "Cancel a restore",
        "Job 42",
        "Why: (empty)",
        "[Keep it] [Cancel the job]",
    ]

    assert (await slack.people.submits("rina", shown, {"reason": "no"})).errors == {
        "reason": "Say more."
    }
    assert slack.state.errors_of("rina") == {"reason": "Say more."}

    assert (await slack.people.submits("rina", shown, {"reason": "by mistake"})).ok
    assert slack.state.view_of("rina") is None
    [card] = slack.state.messages("#ops")
    assert slack.state.text_of(card) == "*waiting*\n[Approve]"

    assert (await slack.people.clicks("ada", card, "approve")).ok
    [card] = slack.state.messages("#ops")
    assert slack.state.text_of(card) == "approved by @Ada"
    assert [slack.state.text_of(before) for before in card["edits"]] == ["*waiting*\n[Approve]"]
    assert slack.complaints == []
    assert [c.error for c in slack.calls if not c.ok] == []


async def test_bolt_app_works_over_socket_mode(
    slack: FakeSlackServer, over_socket_mode: None
) -> None:
    await run_a_request_to_its_approval(slack)


async def test_bolt_app_works_over_signed_http(over_http: FakeSlackServer) -> None:
    await run_a_request_to_its_approval(over_http)


async def test_ephemeral_ack_is_visible_to_one_person(
    slack: FakeSlackServer, over_socket_mode: None
) -> None:
    ack = await slack.people.types("rina", "#ops", "/cancel-restore")

    assert ack.body == {"text": "Say which job."}
    assert [slack.state.text_of(m) for m in slack.state.ephemerals("rina")] == ["Say which job."]
    assert slack.state.ephemerals("ada") == []
    assert slack.state.messages("#ops") == []


async def test_sdk_reconnects_after_a_disconnect_message(
    slack: FakeSlackServer, over_socket_mode: None
) -> None:
    await slack.sockets.disconnect("refresh_requested")

    await slack.until(
        lambda: len(slack.called("apps.connections.open")) == 2 and slack.sockets.connections == 1
    )
    assert (await slack.people.types("rina", "#ops", "/cancel-restore 42")).ok
