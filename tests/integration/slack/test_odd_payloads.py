"""Odd payloads on the wire, in both modes: each is answered, and the next one too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bot.slack.command.views import private
from bot.slack.receivers.envelopes import UNREADABLE
from tests.support.domain import JOB_ID

if TYPE_CHECKING:
    from tests.integration.slack.conftest import Floor, Start


def command(floor: Floor, **changes: Any) -> dict[str, Any]:
    space = floor.slack.workspace
    person, channel = space.user("rina"), space.channel("ops")
    whole = floor.slack.payloads.command(person, channel, "/cancel-restore", "help")
    return whole | changes


async def test_a_cluster_may_be_called_payload(start: Start) -> None:
    """Bolt's own reading of a form takes one with this word in it for an interaction."""
    async with start() as floor:
        ack = await floor.slack.types("rina", "#ops", f"/cancel-restore payload-1 {JOB_ID}")
        view = await floor.slack.until(lambda: floor.slack.view_of("rina"))

        assert ack.ok
        assert view
        assert "payload-1" in floor.slack.text_of(view)


async def test_a_misshapen_interaction_is_refused_and_the_next_one_answered(start: Start) -> None:
    async with start() as floor:
        send = floor.slack.http if floor.slack.http.request_url else floor.slack.sockets
        odd = {"type": "view_submission", "user": {"id": "U1"}, "view": {"state": []}}
        refused = await send.send("interactive", odd)
        answered = await send.send("slash_commands", command(floor))

        assert refused.status == (400 if floor.slack.http.request_url else 200)
        assert answered.ok
        assert answered.body


@pytest.mark.parametrize("start", ["socket"], indirect=True)
@pytest.mark.parametrize("change", [{"text": 7}, {"user_id": None}, {"team_id": ["T1"]}])
async def test_a_misshapen_command_over_socket_mode_is_answered(
    start: Start, change: dict[str, Any]
) -> None:
    async with start() as floor:
        ack = await floor.slack.sockets.send("slash_commands", command(floor, **change))

        assert ack.body == private(UNREADABLE)


@pytest.mark.parametrize("start", ["socket"], indirect=True)
async def test_an_envelope_of_another_type_is_acknowledged(start: Start) -> None:
    async with start() as floor:
        ack = await floor.slack.sockets.send("workflow_things", {})

        assert (ack.ok, ack.body) == (True, None)
