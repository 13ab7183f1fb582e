"""Malformed payloads in both modes: each is answered, and so is the next one."""

from typing import Any

import pytest

from bot.sandbox.slack import FakeSlackServer
from bot.slack.blockkit import private
from bot.slack.receivers.socket_mode import UNREADABLE
from tests.integration.slack.conftest import Start
from tests.support.domain import JOB_ID


def command(slack: FakeSlackServer, **changes: Any) -> dict[str, Any]:
    space = slack.workspace
    person, channel = space.user("rina"), space.channel("ops")
    whole = slack.payloads.command(person, channel, "/cancel-restore", "a b c d")
    return whole | changes


async def test_cluster_named_payload_is_accepted(start: Start) -> None:
    """Bolt's own reading of a form takes one with this word in it for an interaction."""
    async with start() as slack:
        ack = await slack.people.types("rina", "#ops", f"/cancel-restore payload-1 {JOB_ID}")
        view = await slack.until(lambda: slack.state.view_of("rina"))

        assert ack.ok
        assert view
        assert "payload-1" in slack.state.text_of(view)


async def test_malformed_interaction_is_refused_and_the_next_one_answered(start: Start) -> None:
    async with start() as slack:
        send = slack.http if slack.http.request_url else slack.sockets
        odd = {"type": "view_submission", "user": {"id": "U1"}, "view": {"state": []}}
        refused = await send.send("interactive", odd)
        answered = await send.send("slash_commands", command(slack))

        assert refused.status == (400 if slack.http.request_url else 200)
        assert answered.ok
        assert answered.body


@pytest.mark.parametrize("start", ["socket"], indirect=True)
async def test_malformed_command_over_socket_mode_is_answered(start: Start) -> None:
    async with start() as slack:
        ack = await slack.sockets.send("slash_commands", command(slack, user_id=None))

        assert ack.body == private(UNREADABLE)


@pytest.mark.parametrize("start", ["socket"], indirect=True)
async def test_envelope_of_another_type_is_acknowledged(start: Start) -> None:
    async with start() as slack:
        ack = await slack.sockets.send("workflow_things", {})

        assert (ack.ok, ack.body) == (True, None)
