"""A person who may act alone does so while a request for the same job waits."""

from copy import deepcopy
from pathlib import Path

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.sandbox.slack.faults import Fault
from bot.sandbox.slack.workspace import Group
from tests.acceptance.actions import (
    ADA,
    APPROVE,
    ONE,
    SAM,
    Environ,
    ask,
    click,
    job_of,
    open_approval_environment,
    shows,
)
from tests.acceptance.environment import state_of

ALONE: Environ = {**ONE, "BOT_BREAK_GLASS": SAM, "BOT_REMIND_AFTER": "0"}


async def test_acting_alone_ends_the_request_that_waits_with_its_copies(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ALONE) as env:
        card = await ask(env)
        before = deepcopy(card)
        job = ("prod-eu", job_of(card))
        copy = await shows(env, job[1], "awaiting", env.slack.state.dm("abe"))
        refused = await env.open_dialog(job, "ada")
        dialog = await env.open_dialog(job, "sam")

        values = {"reason": "data leaves now", "alone": ["alone"]}
        assert (await env.slack.people.submits("sam", dialog, values)).ok
        await shows(env, job[1], "cancelled")

        assert refused.get("submit") is None
        assert "asked to cancel this download already" in env.slack.state.text_of(dialog)
        assert "Cancelling without approval ends that request." in env.slack.state.text_of(dialog)
        (ended, _) = env.cards(job[1])
        assert (ended["ts"], state_of(ended)) == (card["ts"], "over")
        assert f"*Outcome* by <@{SAM}>" in str(ended["blocks"])
        (reply,) = [m for m in env.slack.state.replies(card) if state_of(m) == "over"]
        assert f"<@U0RINA0001>: <@{SAM}> ended this request." in reply["text"]
        after = await shows(env, job[1], "over", env.slack.state.dm("abe"))
        assert after["ts"] == copy["ts"]
        assert APPROVE not in str(after["blocks"])
        answer = await click(env, "ada", before, APPROVE, stale=True)
        assert "another request that runs without waiting" in answer.private


async def test_dialog_can_be_tried_again_while_slack_does_not_say_who_may_act_alone(
    tmp_path: Path,
) -> None:
    def without_answer(slack: FakeSlackServer, _atlas: FakeAtlasServer) -> None:
        slack.workspace.add(Group(id="S0GLASS001", handle="glass", users=[SAM]))
        slack.faults.add("usergroups.users.list", Fault(kind="status"), times=1000)

    environ = {**ALONE, "BOT_APPROVERS": ADA, "BOT_BREAK_GLASS": "S0GLASS001"}
    async with open_approval_environment(tmp_path, environ, before=without_answer) as env:
        job = ("prod-eu", job_of(await ask(env)))
        dialog = await env.open_dialog(job, "sam")
        env.slack.faults.clear()
        await env.slack.people.clicks("sam", dialog, "cancel_restore_try_again")

        assert await env.slack.until(
            lambda: (
                "without approval"
                in env.slack.state.text_of(env.slack.state.view_of("sam") or {"blocks": []})
            )
        )
