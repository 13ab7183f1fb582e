"""The fake Slack from another process: control API, event stream, origin guard, program."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from bot.sandbox.slack import FakeSlackServer
from tests.integration.sandbox_slack.blocks import Json, form, section
from tests.integration.sandbox_slack.receiver import AppReceiver


@pytest.fixture
async def outside(slack: FakeSlackServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(slack.base_url) as session:
        yield session


async def asks(session: ClientSession, path: str, body: Json) -> Json:
    async with session.post(f"/_sandbox/{path}", json=body) as response:
        answer: Json = await response.json()
        return {**answer, "http": response.status}


@pytest.mark.parametrize(
    ("path", "body", "part"),
    [
        (
            "actions/types",
            {"user": "nobody", "channel": "#ops", "line": "/a"},
            "No person is called nobody",
        ),
        ("actions/types", {"user": "rina"}, "types: missing a required argument: 'channel'"),
        ("actions/submits", {"user": "rina", "view": "V9"}, "View V9 is not open."),
        ("actions/clicks", {"user": "rina", "thing": {}, "action_id": "a"}, "thing must be a "),
        ("actions/until", {}, "Unknown action until"),
    ],
)
async def test_impossible_action_is_reported_in_a_sentence(
    outside: ClientSession, path: str, body: Json, part: str
) -> None:
    answer = await asks(outside, path, body)

    assert (answer["http"], answer["ok"]) == (400, False)
    assert part in answer["message"]


@pytest.mark.parametrize("as_given", ["id", "object"])
async def test_view_may_be_given_by_its_id(
    slack: FakeSlackServer, app: AppReceiver, outside: ClientSession, as_given: str
) -> None:
    view = slack.world.views.open(slack.workspace.user("rina"), form(section()))
    given = view.id if as_given == "id" else {"id": view.id}

    ack = await asks(outside, "actions/submits", {"user": "rina", "view": given})

    assert (ack["http"], ack["ok"]) == (200, True)
    assert app.payload["view"]["id"] == view.id


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
