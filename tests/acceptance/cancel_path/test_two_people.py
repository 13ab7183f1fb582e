"""Repeated deliveries and concurrent people: one request, one DELETE."""

import asyncio
from pathlib import Path

import pytest

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.environment import RUNNING, BotEnvironment, Json, is_card, open_environment

JOB = RUNNING[1]


def cards(env: BotEnvironment) -> list[Json]:
    return [message for message in env.slack.state.messages("ops") if is_card(message)]


@pytest.mark.parametrize("http", [False, True])
async def test_redelivered_submit_is_the_same_request(tmp_path: Path, http: bool) -> None:
    async with open_environment(tmp_path, http=http) as env:
        await env.submit_request(RUNNING, Fault(kind=Kind.DELAY, method="DELETE", seconds=0.3))
        again = await env.slack.people.redelivers()
        late = await env.slack.people.redelivers()
        await env.wait_for_outcome(JOB)
        last = await env.slack.people.redelivers()

        assert all(ack.ok for ack in (again, late, last))
        assert len(cards(env)) == 1
        assert len(env.slack.state.replies(cards(env)[0])) == 1
        assert len(env.atlas.deletes(JOB)) == 1


async def test_redelivered_command_opens_no_second_dialog(env: BotEnvironment) -> None:
    """As a replica sees it that did not get the first one: Slack refuses the used trigger."""
    view = await env.open_dialog(RUNNING)
    sockets = env.slack.sockets
    first = sockets.envelopes[-1]
    await sockets.send(first["type"], first["payload"], retry_attempt=1, retry_reason="timeout")
    await env.slack.until(lambda: len(env.slack.called("views.open")) == 2)

    shown = env.slack.state.view_of("rina")
    assert shown is not None
    assert shown["id"] == view["id"]
    assert env.slack.state.ephemerals("rina") == []


async def test_concurrent_submits_give_one_request_and_name_its_requester(
    env: BotEnvironment,
) -> None:
    await env.open_dialog(RUNNING, "rina")
    await env.open_dialog(RUNNING, "ada")
    env.atlas.faults.add(Fault(kind=Kind.DELAY, method="DELETE", seconds=0.3))
    await asyncio.gather(
        env.slack.people.submits("rina", None, {"reason": "mine"}),
        env.slack.people.submits("ada", None, {"reason": "mine too"}),
    )
    await env.wait_for_outcome(JOB)

    assert len(cards(env)) == 1
    assert len(env.atlas.deletes(JOB)) == 1
    (loser,) = [user for user in ("rina", "ada") if env.slack.state.view_of(user)]
    winner = {"rina": "Ada", "ada": "Rina"}[loser]
    text = env.slack.state.text_of(env.slack.state.view_of(loser) or {})
    assert f"@{winner} asked to cancel this download already" in text
    assert "[Cancel the job]" not in text
