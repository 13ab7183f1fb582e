"""The dialog with pickers, and no cancellation before the details of the job are shown."""

from pathlib import Path

import pytest

from bot.sandbox.atlas import PROJECT_ID, Fault, Kind
from bot.sandbox.slack.block_kit.elements import all_options
from tests.acceptance.environment import LIVE, RUNNING, BotEnvironment, open_environment
from tests.acceptance.job_search.worlds import (
    OTHER_ID,
    Json,
    backup_calls,
    job_in,
    long_name,
    open_two_projects,
    slow,
    view_with,
    with_clusters,
)


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
    assert env.slack.complaints == []


async def test_submit_before_the_details_are_shown_does_nothing(env: BotEnvironment) -> None:
    await begin(env)
    await pick_job(env, LIVE)
    env.atlas.faults.add(slow(0.5))
    await env.slack.people.chooses("rina", on_screen(env), "job", value_of(RUNNING))
    ack = await env.slack.people.submits("rina", on_screen(env), {})
    await view_with(env, RUNNING[1])

    assert ack.errors == {
        "job": "The details of this download are not shown yet. "
        "Wait until they are, then submit again."
    }
    assert env.atlas.deletes() == []


async def test_change_of_the_cluster_clears_the_job_and_keeps_the_reason(
    env: BotEnvironment,
) -> None:
    await begin(env)
    env.slack.people.fills("rina", None, {"reason": "wrong snapshot"})
    await pick_job(env, LIVE)
    view = await pick(env, "cluster", "prod-us", "1 download of `prod-us`")

    assert view["state"]["values"]["job"]["job"]["selected_option"] is None
    assert view["state"]["values"]["reason"]["reason"]["value"] == "wrong snapshot"


async def test_job_that_ends_before_its_details_are_read_is_not_cancelled(
    env: BotEnvironment,
) -> None:
    await begin(env)
    env.atlas.world.job(LIVE[1]).expire()
    view = await pick(env, "job", value_of(LIVE), "nothing left to cancel")
    ack = await env.slack.people.submits("rina", view, {})

    assert "job" in ack.errors
    assert env.atlas.deletes() == []


async def test_job_of_one_of_four_hundred_clusters_is_picked(tmp_path: Path) -> None:
    async with open_environment(tmp_path, before=with_clusters(400, [399])) as env:
        before = len(env.atlas.calls)
        await begin(env, "", "has 400 clusters")
        await pick(env, "cluster", long_name(399), "1 download")
        await pick_job(env, (long_name(399), job_in(env, 399)))

        assert len(offered(env, "cluster")) == 400
        assert len(backup_calls(env.atlas.calls[before:])) <= 2
        assert env.slack.complaints == []


async def test_cluster_without_a_download_is_read_again(tmp_path: Path) -> None:
    async with open_environment(tmp_path, before=with_clusters(1)) as env:
        cluster = long_name(0)
        view = await begin(env, cluster, "No download of")
        job = env.new_job(cluster)
        await env.slack.people.clicks("rina", view, "cancel_restore_try_again")
        await view_with(env, "1 download of")

        assert "job" not in view["state"]["values"]
        assert offered(env, "job") == [value_of(job)]


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("prod-eo", "Did you mean `prod-eu`"),
        ("sketch-flex", "flex and serverless clusters"),
        ("shop-prod", "has 4 clusters"),
    ],
)
async def test_unknown_word_is_explained_in_the_picker(
    env: BotEnvironment, typed: str, word: str
) -> None:
    view = await begin(env, typed, word)

    assert view["state"]["values"]["cluster"]["cluster"]["selected_option"] is None


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
        assert env.slack.complaints == []


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("dev-eu", "1 download of `dev-eu`"),
        ("shop-dev/prod-eu", "1 download of `prod-eu`"),
        ("shop-dev", "shop-dev has 2 clusters"),
        ("prod-eu", "Several projects have a cluster `prod-eu`"),
    ],
)
async def test_cluster_name_selects_its_project(tmp_path: Path, typed: str, word: str) -> None:
    async with open_two_projects(tmp_path) as env:
        await begin(env, typed, word)


async def test_read_error_is_shown_below_the_pickers_with_try_again(env: BotEnvironment) -> None:
    await begin(env)
    env.atlas.faults.add(Fault(kind=Kind.REFUSE_KEY, path=LIVE[1], times=2, on="any"))
    view = await pick(env, "job", value_of(LIVE), "did not accept the bot's key")
    await env.slack.people.clicks("rina", view, "cancel_restore_try_again")
    again = await view_with(env, "Download link")

    assert "job" in again["state"]["values"]


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
        assert env.slack.complaints == []
