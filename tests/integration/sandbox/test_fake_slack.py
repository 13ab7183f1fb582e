"""The fake Slack with Slack's own clients: the SDK's Web API client, and Bolt's Socket Mode."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientSession
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack import CannotDo, FakeSlackServer, Fault

Json = dict[str, Any]
OPS, RINA, ADA, ABE = "C0OPS00001", "U0RINA0001", "U0ADA00001", "U0ABE00001"
METADATA = {"event_type": "cancel_restore", "event_payload": {"state": "announced"}}
ANY = re.compile(".*")


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def section(text: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def actions(*values: str) -> Json:
    buttons = [
        {"type": "button", "action_id": f"go_{value}", "text": plain("Go"), "value": value}
        for value in values
    ]
    return {"type": "actions", "elements": buttons}


DIALOG = {
    "type": "modal",
    "callback_id": "ask",
    "title": plain("Why"),
    "submit": plain("Go"),
    "blocks": [
        {
            "type": "input",
            "block_id": "reason",
            "label": plain("Reason"),
            "element": {"type": "plain_text_input", "action_id": "reason"},
        }
    ],
}


@dataclass
class App:
    """A Bolt app: it keeps each payload, and answers with `answers` in turn, then without one."""

    client: AsyncWebClient
    payloads: list[Json] = field(default_factory=list)
    answers: list[Json] = field(default_factory=list)

    def build(self) -> AsyncApp:
        app = AsyncApp(client=self.client, process_before_response=True)
        app.command(ANY)(self._take)
        app.action(ANY)(self._take)
        app.view(ANY)(self._take)
        return app

    async def _take(self, ack: Any, body: Json) -> None:
        self.payloads.append(body)
        await ack(**(self.answers.pop(0) if self.answers else {}))


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlackServer]:
    async with FakeSlackServer() as server:
        yield server


@pytest.fixture
def client(slack: FakeSlackServer) -> AsyncWebClient:
    return AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])


@pytest.fixture
async def app(slack: FakeSlackServer, client: AsyncWebClient) -> AsyncIterator[App]:
    app = App(client)
    handler = AsyncSocketModeHandler(app.build(), slack.app_token)
    await handler.connect_async()  # type: ignore[no-untyped-call]  # the SDK has no types there
    yield app
    await handler.close_async()  # type: ignore[no-untyped-call]  # the same


async def refusal(client: AsyncWebClient, method: str, **arguments: object) -> str:
    with pytest.raises(SlackApiError) as refused:
        await client.api_call(method, json=arguments)
    return str(refused.value.response["error"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
    ],
    ids=str,
)
async def test_page_of_another_site_is_refused_and_a_forwarded_port_allowed(
    slack: FakeSlackServer, headers: dict[str, str], status: int
) -> None:
    async with ClientSession(slack.base_url) as session:
        for path in ("/_sandbox/state", "/api/auth.test"):
            assert (await session.get(path, headers=headers)).status == status


# Whom a post notifies.


async def test_post_notifies_those_it_mentions_and_an_edit_nobody(
    slack: FakeSlackServer, client: AsyncWebClient
) -> None:
    posted = await client.chat_postMessage(channel=OPS, text="a", blocks=[section(f"<@{RINA}>")])
    await client.chat_update(channel=OPS, ts=posted["ts"], text=f"<@{ADA}>")
    await client.chat_postEphemeral(channel=OPS, user=RINA, text=f"<@{ADA}>")

    assert [(seen.ts, seen.users) for seen in slack.notifications] == [
        (posted["ts"], frozenset({RINA}))
    ]


async def test_mention_of_a_group_notifies_its_members_who_are_in_the_channel(
    slack: FakeSlackServer, client: AsyncWebClient
) -> None:
    slack.workspace.channel("ops").members.discard(ABE)
    posted = await client.chat_postMessage(channel=OPS, text="a")
    await client.chat_postMessage(
        channel=OPS, text="<!subteam^S0APPROVE1>", thread_ts=posted["ts"], reply_broadcast=True
    )

    seen = slack.notifications[1]
    assert (seen.thread_ts, seen.is_broadcast, seen.users) == (posted["ts"], True, frozenset({ADA}))


async def test_direct_message_notifies_its_person(
    slack: FakeSlackServer, client: AsyncWebClient
) -> None:
    posted = await client.chat_postMessage(channel=RINA, text="a")

    assert posted["channel"] == slack.state.dm("rina")
    assert [set(seen.users) for seen in slack.notifications] == [{RINA}]


# Messages.


async def test_edit_keeps_what_it_does_not_give_and_the_earlier_version(
    slack: FakeSlackServer, client: AsyncWebClient
) -> None:
    blocks = [section("shown")]
    posted = await client.chat_postMessage(
        channel=OPS, text="one", blocks=blocks, metadata=METADATA
    )
    await client.chat_update(channel=OPS, ts=posted["ts"], text="two")

    (message,) = slack.state.messages("#ops")
    assert (message["text"], message["metadata"]) == ("two", METADATA)
    assert message["blocks"][0]["text"] == blocks[0]["text"]
    assert [before["text"] for before in message["edits"]] == ["one"]


async def test_post_whose_answer_is_lost_is_not_repeated_by_its_client_msg_id(
    slack: FakeSlackServer, client: AsyncWebClient
) -> None:
    post: Json = {"channel": OPS, "text": "once", "client_msg_id": "6f1ed002-ab5e-4c8a"}
    slack.faults.add("chat.postMessage", Fault(kind="reset_after"))
    with pytest.raises(ClientConnectionError):
        await client.api_call("chat.postMessage", json=post)
    await client.api_call("chat.postMessage", json=post)

    assert [message["text"] for message in slack.state.messages("#ops")] == ["once"]


async def test_ephemeral_message_is_seen_by_its_person_alone(
    slack: FakeSlackServer, client: AsyncWebClient
) -> None:
    await client.chat_postEphemeral(channel=OPS, user=RINA, text="a")

    assert [message["text"] for message in slack.state.ephemerals("rina")] == ["a"]
    assert slack.state.ephemerals("ada") == slack.state.messages("#ops") == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"channel": "C0QUIET001"}, "channel_not_found"),
        ({"channel": "C0LOBBY001"}, "not_in_channel"),
        ({"channel": "C0ATTIC001"}, "is_archived"),
        ({"channel": "U0DAN00001"}, "channel_not_found"),
        ({"text": ""}, "no_text"),
        ({"blocks": [{"type": "table", "rows": []}]}, "invalid_blocks"),
        ({"metadata": {"event_type": "a"}}, "invalid_metadata_schema"),
        ({"thread_ts": "1.2"}, "thread_not_found"),
    ],
)
async def test_post_that_slack_does_not_take_is_refused(
    client: AsyncWebClient, arguments: Json, code: str
) -> None:
    given = {"channel": OPS, "text": "a", **arguments}

    assert await refusal(client, "chat.postMessage", **given) == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "no_text"),
        ({"text": "x" * 4001}, "msg_too_long"),
        ({"ts": "1.2", "text": "a"}, "message_not_found"),
    ],
)
async def test_edit_that_slack_does_not_take_is_refused(
    client: AsyncWebClient, arguments: Json, code: str
) -> None:
    posted = await client.chat_postMessage(channel=OPS, text="one")
    given = {"channel": OPS, "ts": posted["ts"], **arguments}

    assert await refusal(client, "chat.update", **given) == code


async def test_missing_scope_is_named(slack: FakeSlackServer, client: AsyncWebClient) -> None:
    slack.workspace.app.scopes = {"commands"}
    with pytest.raises(SlackApiError) as refused:
        await client.chat_postMessage(channel=OPS, text="a")

    assert (refused.value.response["error"], refused.value.response["needed"]) == (
        "missing_scope",
        "chat:write",
    )


# Commands, clicks and dialogs, over Socket Mode.


async def test_command_is_answered_to_its_person_alone(slack: FakeSlackServer, app: App) -> None:
    app.answers = [{"text": "done"}]
    ack = await slack.people.types("rina", "#ops", "/cancel-restore help")

    assert ack.ok
    assert (app.payloads[0]["text"], app.payloads[0]["user_id"]) == ("help", RINA)
    assert [message["text"] for message in slack.state.ephemerals("rina")] == ["done"]


async def test_click_that_slack_delivers_again_is_marked_as_a_retry_of_the_same_payload(
    slack: FakeSlackServer, app: App
) -> None:
    await app.client.chat_postMessage(channel=OPS, text="a", blocks=[actions("1", "2")])
    (message,) = slack.state.messages("#ops")
    await slack.people.clicks("rina", message, "go_2")
    await slack.people.redelivers()

    first, again = app.payloads
    assert (first["actions"][0]["value"], first["message"]["ts"]) == ("2", message["ts"])
    assert first["actions"] == again["actions"]


async def test_button_that_an_edit_removed_is_clicked_by_a_client_that_missed_the_edit(
    slack: FakeSlackServer, app: App
) -> None:
    await app.client.chat_postMessage(channel=OPS, text="a", blocks=[actions("1")])
    (message,) = slack.state.messages("#ops")
    await app.client.chat_update(channel=OPS, ts=message["ts"], text="b", blocks=[section("b")])

    with pytest.raises(CannotDo):
        await slack.people.clicks("rina", message, "go_1")
    assert (await slack.people.clicks("rina", message, "go_1", stale=True)).ok


async def test_trigger_opens_one_dialog_whose_submit_has_its_values(
    slack: FakeSlackServer, app: App
) -> None:
    await slack.people.types("rina", "#ops", "/cancel-restore")
    trigger = app.payloads[0]["trigger_id"]
    await app.client.views_open(trigger_id=trigger, view=DIALOG)
    again = await refusal(app.client, "views.open", trigger_id=trigger, view=DIALOG)
    with pytest.raises(CannotDo, match="Please complete this required field"):
        await slack.people.submits("rina")
    await slack.people.submits("rina", None, {"reason": "by mistake"})

    values = app.payloads[1]["view"]["state"]["values"]
    assert again == "exchanged_trigger_id"
    assert values["reason"]["reason"]["value"] == "by mistake"
    assert slack.state.view_of("rina") is None


@pytest.mark.parametrize(
    "answer",
    [
        {"response_action": "errors", "errors": {"typed": "There is no such input."}},
        {"response_action": "update", "view": {**DIALOG, "title": plain("x" * 25)}},
        {"response_action": "dance"},
    ],
)
async def test_answer_to_a_submit_that_slack_cannot_show_is_a_complaint(
    slack: FakeSlackServer, app: App, answer: Json
) -> None:
    await slack.people.types("rina", "#ops", "/cancel-restore")
    await app.client.views_open(trigger_id=app.payloads[0]["trigger_id"], view=DIALOG)
    app.answers = [answer]
    ack = await slack.people.submits("rina", None, {"reason": "x"})

    assert (ack.error, len(slack.complaints)) == ("invalid_response", 1)
    assert slack.state.view_of("rina") is not None


async def test_response_url_shows_five_answers_to_the_person_alone(
    slack: FakeSlackServer, app: App
) -> None:
    await slack.people.types("rina", "#ops", "/cancel-restore")
    url = app.payloads[0]["response_url"]
    async with ClientSession() as session:
        statuses = [
            (await session.post(url, json={"text": str(number)})).status for number in range(6)
        ]

    assert statuses == [200] * 5 + [404]
    assert [message["text"] for message in slack.state.ephemerals("rina")] == list("01234")
    assert slack.state.messages("#ops") == []


async def test_command_without_a_connected_app_is_answered_by_slack_itself(
    slack: FakeSlackServer,
) -> None:
    ack = await slack.people.types("rina", "#ops", "/cancel-restore")

    assert ack.error == "dispatch_failed"
    assert "The app did not respond" in slack.state.text_of(slack.state.ephemerals("rina")[0])
