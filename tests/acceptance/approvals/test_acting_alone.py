"""A person who may act alone does so while a request for the same job waits."""

from copy import deepcopy
from pathlib import Path

from tests.acceptance.actions import (
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
