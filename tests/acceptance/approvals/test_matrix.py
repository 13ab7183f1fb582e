"""Every person clicks every button of a request, before and after each end."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.actions import (
    APPROVE,
    DENY,
    GROUP,
    OLGA,
    ONE,
    OPS,
    SAM,
    WITHDRAW,
    Answer,
    Before,
    Json,
    ask,
    cancelled,
    click,
    click_while_deactivated,
    decided_lines,
    job_of,
    open_approval_environment,
)
from tests.acceptance.environment import BotEnvironment

#: All of them but Sam are in the approving group, without getting its rights.
WITHOUT_RIGHTS = ("sam", "gus", "uma", "ci-bot", "olga", "dan")


def all_people_in_the_group(slack: FakeSlackServer, _atlas: FakeAtlasServer) -> None:
    """Share #ops with Olga's organization, and put all people into the approving group."""
    space = slack.workspace
    ops = space.channel("ops")
    ops.members |= {OLGA, SAM}
    ops.connected_team_ids = ("T0OTHER001",)
    names = ("rina", *(name for name in WITHOUT_RIGHTS if name != "sam"))
    space.groups[GROUP].users += [space.user(name).id for name in names]


def team_of_the_actor(slack: FakeSlackServer, atlas: FakeAtlasServer) -> None:
    """Name the stranger's own workspace in the payload, which Slack may do as well."""
    all_people_in_the_group(slack, atlas)
    slack.world.settings = replace(slack.world.settings, connect_team="actor")


HERE = ONE | {"BOT_CHANNELS": OPS}


async def try_button(env: BotEnvironment, user: str, card: Json, action: str) -> Answer:
    if user == "dan":
        return await click_while_deactivated(env, user, card, action)
    return await click(env, user, card, action, stale=True)


@pytest.mark.parametrize(
    ("before", "http"),
    [(all_people_in_the_group, False), (team_of_the_actor, False), (team_of_the_actor, True)],
    ids=["socket", "socket, own team", "http, own team"],
)
async def test_awaiting_request_takes_decisions_of_approvers_and_withdrawal_of_the_requester(
    tmp_path: Path, before: Before, http: bool
) -> None:
    async with open_approval_environment(tmp_path, HERE, http=http, before=before) as env:
        card = await ask(env)
        for user in WITHOUT_RIGHTS:
            for action in (APPROVE, DENY):
                answer = await try_button(env, user, card, action)
                assert answer.private.startswith("You may not approve or deny this request.")
                assert "@approvers" in answer.private
            answer = await try_button(env, user, card, WITHDRAW)
            assert answer.private == (
                "Only the person who asked can withdraw this request. That is @Rina."
            )
        for action in (APPROVE, DENY):
            assert "your own request" in (await click(env, "rina", card, action)).private
        for user in ("ada", "abe"):
            assert "Only the person who asked" in (await click(env, user, card, WITHDRAW)).private

        shown = env.slack.state.message("ops", card["ts"])
        assert shown is not None
        assert decided_lines(env, shown) == decided_lines(env, card)
        assert env.atlas_methods(job_of(card)).count("DELETE") == 0

        assert (await click(env, "ada", card, APPROVE)).changed_the_card
        await env.wait_for_outcome(job_of(card))

        assert cancelled(env, card)
