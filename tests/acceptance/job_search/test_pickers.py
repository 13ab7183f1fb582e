"""The dialog with pickers, and no cancellation before the details of the job are shown."""

from pathlib import Path

from bot.sandbox.atlas import PROJECT_ID
from bot.sandbox.slack.block_kit.elements import all_options
from tests.acceptance.environment import LIVE, RUNNING, BotEnvironment, open_environment
from tests.acceptance.job_search.worlds import OTHER_ID, Json, open_two_projects, view_with


def value_of(job: tuple[str, str], project: str = PROJECT_ID) -> str:
    return f"{project} {job[0]} {job[1]}"


def on_screen(env: BotEnvironment) -> Json:
    view = env.slack.state.view_of("rina")
    assert view
    return view


def offered(env: BotEnvironment, select: str) -> list[str]:
    """Return the values of a picker's options."""
    (block,) = [each for each in on_screen(env)["blocks"] if each["block_id"] == select]
    return [option["value"] for option in all_options(block["element"])]


async def pick(env: BotEnvironment, select: str, value: str, word: str) -> Json:
    """Pick in a select, and wait until the dialog has the text `word`."""
    await env.slack.people.chooses("rina", on_screen(env), select, value)
    return await view_with(env, word)


async def pick_job(env: BotEnvironment, job: tuple[str, str]) -> Json:
    return await pick(env, "job", value_of(job), job[1])


async def begin(
    env: BotEnvironment, typed: str = "prod-eu", word: str = "can be cancelled now"
) -> Json:
    await env.send_command("rina", typed)
    return await view_with(env, word)


async def test_picked_job_is_cancelled_with_the_typed_reason(env: BotEnvironment) -> None:
    await begin(env, "", "has 4 clusters")
    await pick(env, "cluster", "prod-eu", "2 downloads of `prod-eu`")
    env.slack.people.fills("rina", None, {"reason": "wrong snapshot"})
    details = await pick_job(env, LIVE)
    ack = await env.slack.people.submits("rina", None, {})
    ending = await env.wait_for_outcome(LIVE[1])

    assert "Download link" in env.slack.state.text_of(details)
    assert ack.body == {"response_action": "clear"}
    assert ending.state == "cancelled"
    assert "wrong snapshot" in ending.card


async def test_project_is_picked_first_among_several(tmp_path: Path) -> None:
    async with open_two_projects(tmp_path) as env:
        first = await begin(env, "", "Choose a project first")
        await pick(env, "project", OTHER_ID, "shop-dev has 2 clusters")
        clusters = offered(env, "cluster")
        await pick(env, "cluster", "dev-eu", "1 download of `dev-eu`")
        view = await pick(env, "project", PROJECT_ID, "shop-prod has 4 clusters")

        assert "cluster" not in first["state"]["values"]
        assert clusters == ["dev-eu", "prod-eu"]
        assert view["state"]["values"]["cluster"]["cluster"]["selected_option"] is None


async def test_pickers_shortcut_and_home_tab_work_over_http(tmp_path: Path) -> None:
    async with open_environment(tmp_path, http=True) as env:
        await begin(env)
        details = await pick_job(env, LIVE)
        message = env.slack.people.says("abe", "ops", f"look at {RUNNING[1]}")
        await env.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
        await view_with(env, f"`{RUNNING[1]}`")
        ack = await env.slack.people.opens_home("rina")
        await env.slack.until(lambda: "As of" in str(env.slack.state.home_of("rina")))

        assert details["submit"]["text"] == "Cancel the job"
        assert ack.ok
