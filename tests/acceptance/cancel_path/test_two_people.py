"""Repeated deliveries and concurrent people: one request, one DELETE."""

import asyncio

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.environment import RUNNING, BotEnvironment, Json, is_card

JOB = RUNNING[1]


def cards(env: BotEnvironment) -> list[Json]:
    return [message for message in env.slack.state.messages("ops") if is_card(message)]


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
