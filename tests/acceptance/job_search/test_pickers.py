"""The dialog with pickers: project, cluster, job, details, and only then the deed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bot.sandbox.atlas import PROJECT_ID, Fault, Kind
from bot.sandbox.slack import CannotDo
from tests.acceptance.house import LIVE, RUNNING, House, open_house
from tests.acceptance.job_search.town import (
    OTHER_ID,
    Json,
    backup_calls,
    job_in,
    long_name,
    open_town,
    slow,
    view_with,
    with_clusters,
)

if TYPE_CHECKING:
    from pathlib import Path


def value_of(job: tuple[str, str], project: str = PROJECT_ID) -> str:
    return f"{project} {job[0]} {job[1]}"


def on_screen(house: House) -> Json:
    view = house.slack.state.view_of("rina")
    assert view
    return view


async def offered(house: House, select: str, typed: str = "") -> list[Json]:
    """Type into a select and return what it offers."""
    ack = await house.slack.people.suggests("rina", on_screen(house), select, typed)
    assert ack.ok
    assert ack.seconds < 3.0
    return ack.options


async def pick(house: House, select: str, value: str, word: str) -> Json:
    """Pick in a select, and wait until the dialog says `word`."""
    await house.slack.people.chooses("rina", on_screen(house), select, value)
    return await view_with(house, word)


async def pick_job(house: House, job: tuple[str, str]) -> Json:
    await offered(house, "job")
    return await pick(house, "job", value_of(job), job[1])


async def begin(house: House, typed: str = "prod-eu", word: str = "can be cancelled now") -> Json:
    await house.types("rina", typed)
    return await view_with(house, word)


async def test_a_job_is_picked_and_cancelled_without_losing_what_was_typed(house: House) -> None:
    await begin(house, "", "has 4 clusters")
    await offered(house, "cluster", "EU")
    await pick(house, "cluster", "prod-eu", "2 restore jobs of `prod-eu`")
    house.slack.people.fills("rina", None, {"reason": "wrong snapshot"})
    details = await pick_job(house, LIVE)
    ack = await house.slack.people.submits("rina", None, {})
    ending = await house.ends(LIVE[1])

    assert "Download link" in house.slack.state.text_of(details)
    assert ack.body == {"response_action": "clear"}
    assert ending.state == "cancelled"
    assert "wrong snapshot" in ending.card
    assert house.slack.complaints == []


async def test_one_dialog_is_opened_with_the_first_call(house: House) -> None:
    before = len(house.slack.calls)
    await begin(house)
    methods = [call.method for call in house.slack.calls[before:]]

    assert methods.count("views.open") == 1
    assert methods[0] == "views.open" or "views.open" in methods[:2]


async def test_the_jobs_are_named_so_that_a_person_knows_them(house: House) -> None:
    await begin(house)
    options = await offered(house, "job")

    assert [option["value"] for option in options] == [value_of(RUNNING), value_of(LIVE)]
    assert [option["text"]["text"].split(" · ")[1:] for option in options] == [
        ["no link yet", "…0101"],
        ["link live", "…0102"],
    ]
    assert all(option["text"]["text"].startswith("snapshot ") for option in options)
    assert options[1]["description"]["text"].startswith("link live for ")


async def test_nothing_is_done_before_a_job_is_picked(house: House) -> None:
    view = await begin(house)
    with pytest.raises(CannotDo, match="job: Please complete"):
        await house.slack.people.submits("rina", view, {"reason": "x"})


async def test_a_pick_whose_details_are_not_on_show_yet_does_nothing(house: House) -> None:
    await begin(house)
    await pick_job(house, LIVE)
    house.atlas.faults.add(slow(0.5))
    await house.slack.people.chooses("rina", on_screen(house), "job", value_of(RUNNING))
    ack = await house.slack.people.submits("rina", on_screen(house), {})
    await view_with(house, RUNNING[1])

    assert ack.errors == {
        "job": "The details of this restore job are not shown yet. "
        "Wait until they are, then submit again."
    }
    assert house.atlas.deletes() == []


async def test_the_last_of_several_picks_wins(house: House) -> None:
    await begin(house)
    await offered(house, "job")
    house.atlas.faults.add(slow(0.4, path=LIVE[1]))
    await house.slack.people.chooses("rina", on_screen(house), "job", value_of(LIVE))
    await house.slack.people.chooses("rina", on_screen(house), "job", value_of(RUNNING))
    await view_with(house, RUNNING[1])
    await asyncio.sleep(0.6)
    shown = house.slack.state.text_of(on_screen(house))

    assert f"`{RUNNING[1]}`" in shown
    assert f"`{LIVE[1]}`" not in shown


async def test_another_cluster_forgets_the_job_and_keeps_the_reason(house: House) -> None:
    await begin(house)
    house.slack.people.fills("rina", None, {"reason": "wrong snapshot"})
    await pick_job(house, LIVE)
    await offered(house, "cluster")
    view = await pick(house, "cluster", "prod-us", "1 restore job of `prod-us`")

    assert view["state"]["values"]["job"]["job"]["selected_option"] is None
    assert view["state"]["values"]["reason"]["reason"]["value"] == "wrong snapshot"


async def test_a_job_that_ends_while_the_dialog_is_open_is_told_and_not_cancelled(
    house: House,
) -> None:
    await begin(house)
    await offered(house, "job")
    house.atlas.world.job(LIVE[1]).expire()
    view = await pick(house, "job", value_of(LIVE), "nothing left to cancel")
    ack = await house.slack.people.submits("rina", view, {})

    assert "job" in ack.errors
    assert house.atlas.deletes() == []


async def test_a_job_that_ends_after_its_details_were_shown_is_settled_as_over(
    house: House,
) -> None:
    await begin(house)
    view = await pick_job(house, LIVE)
    house.atlas.world.job(LIVE[1]).expire()
    await house.slack.people.submits("rina", view, {"reason": "x"})
    ending = await house.ends(LIVE[1])

    assert ending.state == "over"
    assert house.atlas.deletes() == []


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("prod", ["prod-eu", "prod-us"]),
        ("PROD eu", ["prod-eu"]),
        ("  eu ", ["prod-eu", "staging-eu"]),
        ("ｐｒｏｄ", ["prod-eu", "prod-us"]),
        ("*", []),
        ('"; DROP', []),
        ("<!channel>", []),
        ("\u202eprod", ["prod-eu", "prod-us"]),
        ("é\x00", []),
        ("x" * 3000, []),
    ],
)
async def test_odd_characters_in_the_typeahead_find_or_find_nothing(
    house: House, typed: str, found: list[str]
) -> None:
    await begin(house, "", "has 4 clusters")

    assert [option["value"] for option in await offered(house, "cluster", typed)] == found


async def test_four_hundred_clusters_with_the_longest_names_are_narrowed(tmp_path: Path) -> None:
    async with open_house(tmp_path, before=with_clusters(400, [399])) as house:
        before = len(house.atlas.calls)
        await begin(house, "", "has 400 clusters")
        many = await offered(house, "cluster")
        few = await offered(house, "cluster", "0399")
        await pick(house, "cluster", long_name(399), "1 restore job")
        await pick_job(house, (long_name(399), job_in(house, 399)))

        assert len(many) == 100
        assert many[-1]["value"] == "-"
        assert "301 more" in many[-1]["text"]["text"]
        assert [option["value"] for option in few] == [long_name(399)]
        assert len(backup_calls(house.atlas.calls[before:])) <= 2
        assert house.slack.complaints == []


async def test_the_option_that_only_says_something_picks_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path, before=with_clusters(400)) as house:
        await begin(house, "", "has 400 clusters")
        await offered(house, "cluster")
        await house.slack.people.chooses("rina", on_screen(house), "cluster", "-")

        def emptied() -> bool:
            values = on_screen(house)["state"]["values"]
            return bool("cluster" in values) and not values["cluster"]["cluster"]["selected_option"]

        assert await house.slack.until(emptied)


async def test_more_than_a_hundred_jobs_of_a_cluster_are_narrowed(house: House) -> None:
    for _ in range(120):
        last = house.new_job("prod-us")
    await begin(house, "prod-us")
    many = await offered(house, "job")
    few = await offered(house, "job", last[1][-6:])

    assert len(many) == 100
    assert [option["value"] for option in few] == [value_of(last)]


async def test_while_atlas_is_slow_the_selects_are_there_and_answer_in_time(
    house: House,
) -> None:
    house.atlas.faults.add(slow(3.5, path=""))
    await begin(house, "", "Cluster:")
    (early,) = await offered(house, "cluster")
    await view_with(house, "has 4 clusters")
    late = await offered(house, "cluster", "prod")
    await house.slack.people.chooses("rina", on_screen(house), "cluster", "prod-eu")
    await view_with(house, "Restore job:")
    (early_job,) = await offered(house, "job")
    await view_with(house, "2 restore jobs of `prod-eu`")
    jobs = await offered(house, "job")

    assert early["value"] == early_job["value"] == "-"
    assert "Atlas has not answered yet" in early["text"]["text"]
    assert [option["value"] for option in late] == ["prod-eu", "prod-us"]
    assert [option["value"] for option in jobs] == [value_of(RUNNING), value_of(LIVE)]


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("prod-eo", "Did you mean `prod-eu`"),
        ("sketch-flex", "flex and serverless clusters"),
        ("shop-prod", "has 4 clusters"),
    ],
)
async def test_a_word_that_is_no_cluster_is_explained(house: House, typed: str, word: str) -> None:
    view = await begin(house, typed, word)

    assert view["state"]["values"]["cluster"]["cluster"]["selected_option"] is None


async def test_with_several_projects_one_is_picked_first(tmp_path: Path) -> None:
    async with open_town(tmp_path) as house:
        first = await begin(house, "", "Choose a project first")
        await pick(house, "project", OTHER_ID, "shop-dev has 2 clusters")
        clusters = await offered(house, "cluster")
        await pick(house, "cluster", "dev-eu", "1 restore job of `dev-eu`")
        view = await pick(house, "project", PROJECT_ID, "shop-prod has 4 clusters")

        assert "cluster" not in first["state"]["values"]
        assert [option["value"] for option in clusters] == ["dev-eu", "prod-eu"]
        assert view["state"]["values"]["cluster"]["cluster"]["selected_option"] is None
        assert house.slack.complaints == []


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        ("dev-eu", "1 restore job of `dev-eu`"),
        ("shop-dev/prod-eu", "1 restore job of `prod-eu`"),
        ("shop-dev", "shop-dev has 2 clusters"),
        ("prod-eu", "Several projects have a cluster `prod-eu`"),
    ],
)
async def test_a_word_finds_its_project(tmp_path: Path, typed: str, word: str) -> None:
    async with open_town(tmp_path) as house:
        await begin(house, typed, word)


async def test_a_broken_key_is_told_where_its_project_is_picked(tmp_path: Path) -> None:
    async with open_town(tmp_path, secret="wrong") as house:
        await begin(house, "", "Choose a project first")
        await pick(house, "project", OTHER_ID, "did not accept the bot's key")
        await pick(house, "project", PROJECT_ID, "shop-prod has 4 clusters")


async def test_who_may_not_ask_gets_the_refusal_and_no_names(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"BOT_REQUESTERS": "U0ADA00001"}) as house:
        refused = await begin(house, "", "may not ask")

        assert refused["submit"] is None
        assert house.atlas.calls[1:] == [] or "clusters" not in str(house.atlas.calls[1:])


async def test_rights_are_looked_at_again_for_each_list_of_options(house: House) -> None:
    await begin(house)
    house.slack.workspace.user("rina").is_restricted = True
    # The directory's answer holds for a minute: what it said before is what counts till then.
    options = await offered(house, "job")

    assert len(options) == 2


async def test_what_cannot_be_read_is_told_below_the_pickers_and_can_be_tried_again(
    house: House,
) -> None:
    await begin(house)
    await offered(house, "job")
    house.atlas.faults.add(Fault(kind=Kind.REFUSE_KEY, path=LIVE[1], times=2, on="any"))
    view = await pick(house, "job", value_of(LIVE), "did not accept the bot's key")
    await house.slack.people.clicks("rina", view, "cancel_restore_try_again")
    again = await view_with(house, "Download link")

    assert "job" in again["state"]["values"]


async def test_over_http_pickers_shortcut_and_home_tab_work_alike(tmp_path: Path) -> None:
    async with open_house(tmp_path, http=True) as house:
        await begin(house)
        details = await pick_job(house, LIVE)
        message = house.slack.people.says("abe", "ops", f"look at {RUNNING[1]}")
        await house.slack.people.uses_shortcut("rina", message, "cancel_restore_shortcut")
        await view_with(house, f"`{RUNNING[1]}`")
        ack = await house.slack.people.opens_home("rina")
        await house.slack.until(lambda: "As of" in str(house.slack.state.home_of("rina")))

        assert details["submit"]["text"] == "Cancel the job"
        assert ack.ok
        assert house.slack.complaints == []
