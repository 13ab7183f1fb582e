"""Who may ask: checked when the dialog opens, and again when it is submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.approvals.clicking import GROUP, GUS, RINA, SAM, guarded_house, record_of

if TYPE_CHECKING:
    from pathlib import Path

    from bot.sandbox.atlas import FakeAtlasServer
    from bot.sandbox.slack import FakeSlackServer
    from tests.acceptance.approvals.clicking import Environ

ALONE: Environ = {"BOT_APPROVALS": "0"}
BY_GROUP: Environ = ALONE | {"BOT_REQUESTERS": GROUP}
NO = "You may not ask for a restore job to be cancelled."


def rina_and_guests_in_the_group(slack: FakeSlackServer, _atlas: FakeAtlasServer) -> None:
    slack.workspace.groups[GROUP].users = [RINA, GUS, "U0UMA00001", "U0CIBOT001"]


@pytest.mark.parametrize("environ", [ALONE, BY_GROUP], ids=["everybody", "a group"])
@pytest.mark.parametrize("who", ["gus", "uma", "ci-bot"])
async def test_guests_and_bots_may_not_ask(tmp_path: Path, environ: Environ, who: str) -> None:
    async with guarded_house(tmp_path, environ, before=rina_and_guests_in_the_group) as house:
        said = house.slack.state.text_of(await house.looks_up(house.new_job(), who))

        assert NO in said
        assert ("@approvers" if environ is BY_GROUP else "every full member") in said
        assert "[Cancel the job]" not in said


async def test_a_full_member_outside_the_group_may_not_ask(tmp_path: Path) -> None:
    async with guarded_house(tmp_path, BY_GROUP, before=rina_and_guests_in_the_group) as house:
        refused = house.slack.state.text_of(await house.looks_up(house.new_job(), "sam"))
        allowed = house.slack.state.text_of(await house.looks_up(house.new_job(), "rina"))

        assert NO in refused
        assert "[Cancel the job]" in allowed


async def test_a_guest_who_is_named_by_id_may_ask(tmp_path: Path) -> None:
    async with guarded_house(tmp_path, ALONE | {"BOT_REQUESTERS": f"{GUS},{SAM}"}) as house:
        job = house.new_job()
        await house.asks(job, who="gus")

        assert (await house.ends(job[1])).state == "cancelled"


async def test_who_was_taken_out_of_the_group_while_the_dialog_was_open_may_not_submit(
    tmp_path: Path,
) -> None:
    async with guarded_house(tmp_path, BY_GROUP, before=rina_and_guests_in_the_group) as house:
        dialog = await house.looks_up(house.new_job())
        house.slack.workspace.groups[GROUP].users.remove(RINA)
        await house.slack.people.submits("rina", dialog, {"reason": "wrong cluster"})
        shown = house.slack.state.view_of("rina")

        assert shown is not None
        assert NO in house.slack.state.text_of(shown)
        assert house.slack.state.messages("ops") == []
    assert record_of(tmp_path) == {}
