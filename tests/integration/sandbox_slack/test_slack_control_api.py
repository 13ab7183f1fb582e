"""The fake Slack from another process: control API, event stream, origin guard, program."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack import FakeSlackServer
from tests.integration.sandbox_slack.blocks import Json, form, section
from tests.integration.sandbox_slack.receiver import Answer, AppReceiver


@pytest.fixture
async def outside(slack: FakeSlackServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(slack.base_url) as session:
        yield session


async def asks(session: ClientSession, path: str, body: Json) -> Json:
    async with session.post(f"/_sandbox/{path}", json=body) as response:
        answer: Json = await response.json()
        return {**answer, "http": response.status}


async def test_actions_run_by_name_and_return_the_ack(
    slack: FakeSlackServer, app: AppReceiver, outside: ClientSession
) -> None:
    app.answers = [Answer(body="Looking.")]
    line = {"user": "rina", "channel": "#ops", "line": "/cancel-restore 42"}

    ack = await asks(outside, "actions/types", line)

    assert (ack["ok"], ack["body"], ack["error"]) == (True, "Looking.", None)
    state = await (await outside.get("/_sandbox/state")).json()
    rina = state["people"]["U0RINA0001"]
    assert [m["text"] for m in rina["ephemerals"]] == ["Looking."]
    assert app.payload["text"] == "42"


async def test_posted_message_is_returned(outside: ClientSession) -> None:
    said = await asks(outside, "actions/says", {"user": "rina", "channel": "#ops", "text": "hi"})

    assert (said["ok"], said["result"]["text"]) == (True, "hi")


@pytest.mark.parametrize(
    ("path", "body", "part"),
    [
        (
            "actions/types",
            {"user": "nobody", "channel": "#ops", "line": "/a"},
            "No person is called nobody",
        ),
        ("actions/types", {"user": "rina"}, "types needs channel and line (its fields: user, "),
        (
            "actions/opens_home",
            {"user": "rina", "tab": "home"},
            "opens_home takes no tab (its fields: ",
        ),
        ("actions/opens_home", {"user": 7}, "opens_home: user must be a text."),
        ("actions/submits", {"user": "rina", "view": "V9"}, "View V9 is not open."),
        ("actions/submits", {"user": "rina", "values": []}, "values must be an object or null."),
        ("actions/clicks", {"user": "rina", "thing": {}, "action_id": "a"}, "thing must be a "),
        ("faults", {"kind": "delay", "seconds": "4"}, "A fault: seconds must be a number."),
        ("faults", {"kind": "delay", "times": "two"}, "times a whole number."),
        ("request_url", {"url": 80}, "url must be a text, or null for Socket Mode."),
        ("actions/until", {}, "Unknown action until"),
        ("faults", {"method": "auth.test", "kind": "earthquake"}, "Unknown fault earthquake"),
        ("sockets", {"do": "dance"}, "do must be cut"),
    ],
)
async def test_impossible_action_is_reported_in_a_sentence(
    outside: ClientSession, path: str, body: Json, part: str
) -> None:
    answer = await asks(outside, path, body)

    assert (answer["http"], answer["ok"]) == (400, False)
    assert part in answer["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [("{", "The body is not valid JSON."), ("[]", "The body must be a JSON object.")],
)
async def test_body_that_is_not_an_object_is_reported(
    outside: ClientSession, body: str, message: str
) -> None:
    async with outside.post("/_sandbox/actions/types", data=body) as response:
        answer = await response.json()

    assert (response.status, answer["message"]) == (400, message)


@pytest.mark.parametrize("as_given", ["id", "object"])
async def test_view_may_be_given_by_its_id(
    slack: FakeSlackServer, app: AppReceiver, outside: ClientSession, as_given: str
) -> None:
    view = slack.world.views.open(slack.workspace.user("rina"), form(section()))
    given = view.id if as_given == "id" else {"id": view.id}

    ack = await asks(outside, "actions/submits", {"user": "rina", "view": given})

    assert (ack["http"], ack["ok"]) == (200, True)
    assert app.payload["view"]["id"] == view.id


async def test_faults_and_transport_are_set_from_outside(
    slack: FakeSlackServer, client: AsyncWebClient, outside: ClientSession
) -> None:
    await asks(outside, "faults", {"method": "auth.test", "kind": "error", "times": 2})
    await outside.delete("/_sandbox/faults")
    await asks(outside, "request_url", {"url": "http://127.0.0.1:9/slack/events"})

    assert (await client.auth_test())["ok"]
    assert slack.http.request_url == "http://127.0.0.1:9/slack/events"
    assert (await asks(outside, "sockets", {"do": "cut"}))["ok"]
    calls = await (await outside.get("/_sandbox/calls")).json()
    assert [call["method"] for call in calls["calls"]] == ["auth.test"]


async def test_changes_are_streamed_as_they_happen(
    slack: FakeSlackServer, outside: ClientSession
) -> None:
    async with outside.get("/_sandbox/events") as stream:
        await stream.content.readuntil(b"\n\n")

        slack.people.says("rina", "#ops", "hello")

        event, data, _end = (await stream.content.readuntil(b"\n\n")).decode().split("\n", 2)
        assert event == "event: message"
        assert json.loads(data.removeprefix("data: "))["message"]["text"] == "hello"


async def test_action_is_published_before_its_ack(slack: FakeSlackServer, app: AppReceiver) -> None:
    app.answers = [Answer(body="Looking.")]
    kinds = []
    published = []
    slack.world.events.subscribe(lambda item: kinds.append(item.kind))
    slack.world.events.subscribe(lambda item: published.append(item.data.get("what")))

    await slack.people.types("rina", "#ops", "/cancel-restore 42")

    assert kinds[:2] == ["action", "payload"]
    assert published[0] == "/cancel-restore 42"


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"Origin": "https://evil.example"}, "foreign_origin"),
        ({"Origin": "null"}, "foreign_origin"),
        ({"Origin": "http://localhost:1"}, "foreign_origin"),
        ({"Host": "evil.example"}, "foreign_host"),
        ({"Host": "127.0.0.1.evil.example:80"}, "foreign_host"),
    ],
)
async def test_other_sites_get_403(
    outside: ClientSession, headers: dict[str, str], error: str
) -> None:
    for path in ("/", "/_sandbox/state", "/api/auth.test"):
        async with outside.get(path, headers=headers) as response:
            assert (response.status, (await response.json())["error"]) == (403, error)


async def test_own_page_and_a_forwarded_local_port_are_allowed(
    slack: FakeSlackServer, outside: ClientSession
) -> None:
    forwarded = {"Host": "localhost:1", "Origin": "http://localhost:1"}
    for headers in ({"Origin": slack.base_url}, forwarded):
        async with outside.get("/_sandbox/state", headers=headers) as response:
            assert response.status == 200


async def test_every_response_has_the_sandbox_header(outside: ClientSession) -> None:
    for path in ("/", "/api/auth.test", "/nowhere"):
        async with outside.get(path) as response:
            assert response.headers["X-Sandbox"].startswith("This is a sandbox, not Slack.")


async def test_standalone_slack_prints_its_url_and_ends_at_sigterm() -> None:
    command = [sys.executable, "-P", "-m", "bot.sandbox.slack"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    published = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))

    client = AsyncWebClient(published["bot_token"], base_url=published["api_url"])
    answer = await client.auth_test()
    process.send_signal(signal.SIGTERM)

    assert answer["team"] == "Sandbox"
    assert set(published) == {"api_url", "bot_token", "app_token", "signing_secret"}
    assert await asyncio.wait_for(process.wait(), 10) == 0
