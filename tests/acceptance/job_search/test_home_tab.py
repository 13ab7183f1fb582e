"""The Home tab: cancellable jobs, waiting requests, and the last requests."""

from pathlib import Path

from tests.acceptance.environment import LIVE, RUNNING, BotEnvironment, open_environment
from tests.acceptance.job_search.worlds import Json, slow, view_with

APPROVED: dict[str, str | None] = {"BOT_APPROVALS": "1", "BOT_APPROVERS": "S0APPROVE1"}


async def home_with(env: BotEnvironment, user: str, word: str, seconds: float = 20.0) -> Json:
    def shown() -> Json | None:
        home = env.slack.state.home_of(user)
        return home if home and word in env.slack.state.text_of(home) else None

    home = await env.slack.until(shown, seconds)
    assert home
    return home


async def opened(env: BotEnvironment, user: str, word: str = "As of") -> Json:
    await env.slack.people.opens_home(user)
    return await home_with(env, user, word)


async def test_home_tab_lists_cancellable_jobs_with_a_button(tmp_path: Path) -> None:
    async with open_environment(tmp_path) as env:
        home = await opened(env, "rina")
        value = f"5b6212af90dc76637950a2c6 {' '.join(LIVE)}"
        await env.slack.people.clicks("rina", home, "cancel_restore_open", value=value)
        view = await view_with(env, "Download link")
        ack = await env.slack.people.submits("rina", view, {"reason": "x"})
        await env.slack.until(lambda: LIVE[1] in env.atlas.world.cancellations)

        assert env.slack.state.text_of(home).count("[Cancel this download]") == 7
        assert ack.ok
        assert "direct messages" in env.slack.state.text_of(view)


async def test_home_tab_lists_awaiting_requests_to_approvers(tmp_path: Path) -> None:
    async with open_environment(tmp_path, APPROVED) as env:
        await env.submit_request(RUNNING)
        await env.slack.until(lambda: env.card(RUNNING[1]))
        mine = await opened(env, "rina")
        home = await opened(env, "ada")
        await env.slack.people.clicks("ada", home, "cancel_restore_approve")
        ending = await env.wait_for_outcome(RUNNING[1])
        redrawn = await home_with(env, "ada", "Cancelling waits for your approval\nNothing.")

        assert "[Approve cancelling]" not in env.slack.state.text_of(mine)
        assert "[Approve cancelling] [Deny]" in env.slack.state.text_of(home)
        assert ending.state == "cancelled"
        assert "@Rina asked" in env.slack.state.text_of(redrawn)


async def test_stored_requests_are_shown_while_atlas_is_slow(tmp_path: Path) -> None:
    async with open_environment(tmp_path) as env:
        env.atlas.faults.add(slow(1.0, path=""))
        await env.slack.people.opens_home("rina")
        first = await home_with(env, "rina", "Looking …")
        await home_with(env, "rina", "As of", 20)

        assert "There are no requests yet." in env.slack.state.text_of(first)
