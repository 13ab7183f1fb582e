"""A card whose blocks Slack refuses: its text suffices to decide, and shows the outcome."""

from pathlib import Path

from bot.sandbox.slack.faults import Fault
from tests.acceptance.actions import ADA, ONE, Json, open_approval_environment
from tests.acceptance.environment import is_card, request_of, state_of

REFUSED = Fault(kind="error", code="invalid_blocks")


async def test_request_whose_card_is_only_text_is_approved_by_a_command_and_its_end_is_shown(
    tmp_path: Path,
) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        job = env.new_job()
        env.slack.faults.add("chat.postMessage", REFUSED)
        await env.submit_request(job)

        def card(state: str) -> Json | None:
            messages = env.slack.state.messages("ops")
            return next((m for m in messages if is_card(m) and state_of(m) == state), None)

        waiting = await env.slack.until(lambda: card("awaiting"))
        assert waiting is not None
        command = f"approve {request_of(waiting)}"
        for fact in (*job, f"/cancel-restore {command}", "Waits for approval"):
            assert fact in waiting["text"]
        assert not waiting.get("blocks")

        env.slack.faults.add("chat.update", REFUSED, times=6)
        env.slack.faults.add("chat.postMessage", REFUSED)
        await env.send_command("ada", command)
        messages = await env.wait_for_ephemerals("ada")
        ended = await env.slack.until(lambda: card("cancelled"), 30.0)

        assert f"approved by <@{ADA}>" in messages[-1] or "approved by @Ada" in messages[-1]
        assert ended is not None
        text = env.slack.state.text_of(ended)
        assert "Cancelled: Atlas confirms it" in text
        assert "approve" not in text
        replies = [env.slack.state.text_of(each) for each in env.slack.state.replies(ended)]
        assert "is cancelled" in replies[-1]
