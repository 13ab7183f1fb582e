"""Every person clicks every button of a request, before and after each end."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.sandbox.atlas import FakeAtlasServer, Fault, Kind
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.approvals.actions import (
    APPROVE,
    BEYOND_TIMEOUT,
    DENY,
    GROUP,
    OLGA,
    ONE,
    OPS,
    RETRY,
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
    deny,
    job_of,
    open_approval_environment,
    shows,
)
from tests.acceptance.environment import BotEnvironment

#: All of them but Sam are in the approving group, without getting its rights.
WITHOUT_RIGHTS = ("sam", "gus", "uma", "ci-bot", "olga", "dan")
ALL_PEOPLE = ("rina", "ada", "abe", *WITHOUT_RIGHTS)

REFUSES_DELETES = Fault(kind=Kind.ERROR, code="RESTORE_JOB_NOT_FOUND", method="DELETE", times=None)
ENDS = ("cancelled", "over", "refused", "changed", "failed", "denied", "withdrawn", "expired")

#: The begin of the answer to a click on a card that has ended.
ANSWERS_AFTER = {
    "cancelled": "This request was carried out: Atlas confirms that the download is cancelled",
    "over": "This request ended, because the download had ended",
    "refused": "This request ended, because Atlas refused to cancel the download",
    "changed": "This request ended, because the download had changed since it was shown",
    "failed": "This request could not be finished",
    "denied": "This request was denied by @Ada",
    "withdrawn": "This request was withdrawn by @Rina",
    "expired": "This request was not approved in time",
}


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


@pytest.mark.parametrize("end", ENDS)
async def test_click_after_the_end_shows_the_outcome_and_changes_nothing(
    tmp_path: Path, end: str
) -> None:
    environ = HERE | ({"BOT_APPROVAL_TTL": "1"} if end == "expired" else {})
    async with open_approval_environment(tmp_path, environ, before=all_people_in_the_group) as env:
        waiting = await ask(env)
        over = await end_request(env, waiting, end)
        deletes = env.atlas_methods(job_of(waiting)).count("DELETE")
        for user in ALL_PEOPLE:
            for action in (APPROVE, DENY, WITHDRAW):
                answer = await try_button(env, user, waiting, action)
                assert ANSWERS_AFTER[end] in answer.private
                assert "UTC" in answer.private

        assert env.atlas_methods(job_of(waiting)).count("DELETE") == deletes
        now = env.slack.state.message("ops", over["ts"])
        assert now is not None
        assert env.slack.state.text_of(now) == env.slack.state.text_of(over)


async def test_only_requesters_may_retry(tmp_path: Path) -> None:
    environ = HERE | {"BOT_REQUESTERS": "U0RINA0001,U0ABE00001"}
    async with open_approval_environment(tmp_path, environ, before=all_people_in_the_group) as env:
        waiting = await ask(env)
        failed = await end_request(env, waiting, "failed")
        for user in ("ada", *WITHOUT_RIGHTS):
            answer = await try_button(env, user, failed, RETRY)
            assert answer.private.startswith("You may not ask for a download to be cancelled.")
            assert "@Rina" in answer.private
        assert env.atlas_methods(job_of(waiting)).count("DELETE") == 1

        assert (await click(env, "abe", failed, RETRY)).changed_the_card
        ending = await env.wait_for_outcome(job_of(waiting))

        assert ending.state == "cancelled"
        assert "@Ada" in ending.reply
        for user in ALL_PEOPLE:
            answer = await try_button(env, user, failed, RETRY)
            assert ANSWERS_AFTER["cancelled"] in answer.private
        assert env.atlas_methods(job_of(waiting)).count("DELETE") == 2


async def end_request(env: BotEnvironment, card: Json, end: str) -> Json:
    """Bring a waiting request to one of its ends, and return the card there."""
    job = env.atlas.world.job(job_of(card))
    if end == "denied":
        return await deny(env, "ada", card)
    if end == "withdrawn":
        await click(env, "rina", card, WITHDRAW)
    elif end == "over":
        job.cancel()
    elif end == "changed":
        job.snapshot_id = "f" * 24
    elif end == "refused":
        env.atlas.faults.add(REFUSES_DELETES)
    elif end == "failed":
        env.atlas.faults.add(BEYOND_TIMEOUT)
    if end not in ("withdrawn", "expired"):
        await click(env, "ada", card, APPROVE)
    await env.wait_for_outcome(job_of(card))
    return await shows(env, job_of(card), end)
