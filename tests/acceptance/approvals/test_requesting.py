"""The right to request is checked when the dialog opens, and again at its submission."""

from pathlib import Path

import pytest

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.approvals.actions import (
    GROUP,
    GUS,
    RINA,
    SAM,
    Environ,
    open_approval_environment,
    record_of,
)

ALONE: Environ = {"BOT_APPROVALS": "0"}
BY_GROUP: Environ = ALONE | {"BOT_REQUESTERS": GROUP}
NO = "You may not ask for a restore job to be cancelled."


def rina_and_guests_in_the_group(slack: FakeSlackServer, _atlas: FakeAtlasServer) -> None:
    slack.workspace.groups[GROUP].users = [RINA, GUS, "U0UMA00001", "U0CIBOT001"]


@pytest.mark.parametrize("environ", [ALONE, BY_GROUP], ids=["all members", "a group"])
@pytest.mark.parametrize("user", ["gus", "uma", "ci-bot"])
async def test_guests_and_bots_may_not_request(tmp_path: Path, environ: Environ, user: str) -> None:
    async with open_approval_environment(
        tmp_path, environ, before=rina_and_guests_in_the_group
    ) as env:
        text = env.slack.state.text_of(await env.open_dialog(env.new_job(), user))

        assert NO in text
        assert ("@approvers" if environ is BY_GROUP else "every full member") in text
        assert "[Cancel the job]" not in text


async def test_member_outside_the_requesters_group_may_not_request(tmp_path: Path) -> None:
    async with open_approval_environment(
        tmp_path, BY_GROUP, before=rina_and_guests_in_the_group
    ) as env:
        refused = env.slack.state.text_of(await env.open_dialog(env.new_job(), "sam"))
        allowed = env.slack.state.text_of(await env.open_dialog(env.new_job(), "rina"))

        assert NO in refused
        assert "[Cancel the job]" in allowed


async def test_guest_given_by_id_may_request(tmp_path: Path) -> None:
    async with open_approval_environment(
        tmp_path, ALONE | {"BOT_REQUESTERS": f"{GUS},{SAM}"}
    ) as env:
        job = env.new_job()
        await env.submit_request(job, user="gus")

        assert (await env.wait_for_outcome(job[1])).state == "cancelled"


async def test_group_member_removed_while_the_dialog_is_open_may_not_submit(
    tmp_path: Path,
) -> None:
    async with open_approval_environment(
        tmp_path, BY_GROUP, before=rina_and_guests_in_the_group
    ) as env:
        dialog = await env.open_dialog(env.new_job())
        env.slack.workspace.groups[GROUP].users.remove(RINA)
        await env.slack.people.submits("rina", dialog, {"reason": "wrong cluster"})
        shown = env.slack.state.view_of("rina")

        assert shown is not None
        assert NO in env.slack.state.text_of(shown)
        assert env.slack.state.messages("ops") == []
    assert record_of(tmp_path) == {}
