"""`list` and `history`: private, paged, honest about what was not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.house import LIVE, RUNNING, House, open_house
from tests.acceptance.job_search.town import (
    backup_calls,
    job_in,
    left,
    long_name,
    open_town,
    slow,
    view_with,
    whisper,
    with_clusters,
)

if TYPE_CHECKING:
    from pathlib import Path


async def test_what_can_be_cancelled_is_listed_with_a_button_each(house: House) -> None:
    listed = await whisper(house, "list")
    said = house.slack.state.text_of(listed)
    await house.slack.people.clicks(
        "rina", listed, "cancel_restore_open", value=f"5b6212af90dc76637950a2c6 {' '.join(LIVE)}"
    )
    details = house.slack.state.text_of(await view_with(house, "Download link"))

    assert "7 restore jobs can be cancelled now" in said
    assert said.count("[Cancel this job]") == 7
    assert LIVE[1] in details


async def test_the_list_of_one_cluster_has_no_other(house: House) -> None:
    said = house.slack.state.text_of(await whisper(house, "list prod-eu"))

    assert said.count("[Cancel this job]") == 2
    assert "prod-us" not in said


async def test_a_job_that_has_ended_is_not_listed_any_more(house: House) -> None:
    await whisper(house, "list prod-eu")
    house.atlas.world.job(LIVE[1]).expire()
    said = house.slack.state.text_of(await whisper(house, "list prod-eu"))

    assert LIVE[1] not in said
    assert RUNNING[1] in said


async def test_when_there_are_none_it_says_so(house: House) -> None:
    for cluster, job in (RUNNING, LIVE):
        house.atlas.world.job(job).cancel()
        said = house.slack.state.text_of(await whisper(house, f"list {cluster}"))

    assert said == "No restore job of `prod-eu` can be cancelled now."


async def test_a_cluster_that_is_nowhere_is_told_with_the_nearest(house: House) -> None:
    said = house.slack.state.text_of(await whisper(house, "list prod-eo"))

    assert "There is no cluster `prod-eo`. Did you mean `prod-eu`" in said


async def test_a_flex_cluster_is_named_as_such(house: House) -> None:
    said = house.slack.state.text_of(await whisper(house, "list sketch-flex"))

    assert "`sketch-flex` in shop-prod. Atlas cannot cancel restore jobs of flex" in said


async def test_what_could_not_be_seen_is_named(house: House) -> None:
    fault = Fault(kind=Kind.ERROR, code="FEATURE_UNSUPPORTED", path="/prod-us/", times=None)
    house.atlas.faults.add(fault)
    said = house.slack.state.text_of(await whisper(house, "list"))

    assert said.count("[Cancel this job]") == 6
    assert "Not seen: `prod-us` in shop-prod." in said


async def test_a_project_with_a_broken_key_does_not_hide_another(tmp_path: Path) -> None:
    async with open_town(tmp_path, secret="wrong") as house:
        said = house.slack.state.text_of(await whisper(house, "list"))

        assert said.count("[Cancel this job]") == 7
        assert "Not seen: shop-dev. Atlas did not accept the bot's key" in said


async def test_all_projects_are_in_one_list(tmp_path: Path) -> None:
    async with open_town(tmp_path) as house:
        said = house.slack.state.text_of(await whisper(house, "list"))

        assert "9 restore jobs can be cancelled now" in said
        assert "`dev-eu` in shop-dev" in said


@pytest.mark.parametrize("count", [60, 400])
async def test_a_long_list_is_paged_and_costs_one_call_a_cluster(
    tmp_path: Path, count: int
) -> None:
    async with open_house(tmp_path, before=with_clusters(count, range(45))) as house:
        before = len(house.atlas.calls)
        first = await whisper(house, "list", seconds=25)
        calls = len(backup_calls(house.atlas.calls[before:]))
        await house.slack.people.clicks("rina", first, "cancel_restore_more")
        second = (await house.slack.until(lambda: house.slack.state.ephemerals("rina")[1:], 20))[0]
        await house.slack.people.clicks("rina", second, "cancel_restore_more")
        third = (await house.slack.until(lambda: house.slack.state.ephemerals("rina")[2:], 20))[0]
        pages = [house.slack.state.text_of(page) for page in (first, second, third)]

        assert calls == count
        assert [page.count("[Cancel this job]") for page in pages] == [20, 20, 5]
        assert all(sum(job_in(house, n) in page for page in pages) == 1 for n in range(45))
        assert left(house) >= 240
        assert house.slack.complaints == []


async def test_the_command_is_acknowledged_at_once_however_slow_atlas_is(house: House) -> None:
    house.atlas.faults.add(slow(1.5, path=""))
    ack = await house.types("rina", "list")
    await house.slack.until(lambda: house.slack.state.ephemerals("rina"), 15)

    assert ack.seconds < 0.5


async def test_the_history_says_who_asked_for_what_and_what_became_of_it(
    tmp_path: Path,
) -> None:
    async with open_house(tmp_path) as house:
        await house.asks(RUNNING)
        ending = await house.ends(RUNNING[1])
        said = await whisper(house, "history")
        link = f"archives/{ending.message['channel']}/p{ending.message['ts'].replace('.', '')}"

        assert "Cancelled: Atlas confirms it" in house.slack.state.text_of(said)
        assert "<@U0RINA0001> asked" in str(said["blocks"])
        assert link in str(said["blocks"])
        assert "started by mistake" in house.slack.state.text_of(said)


async def test_a_long_history_fits_into_a_message(tmp_path: Path) -> None:
    before = with_clusters(20, range(20))
    async with open_house(tmp_path, {"BOT_APPROVALS": "1"}, before=before) as house:
        for number in range(20):
            await house.asks((long_name(number), job_in(house, number)), reason="&" * 900)
        said = await whisper(house, "history 50")

        assert house.slack.state.text_of(said).count("Waits for approval") == 20
        assert len(said["blocks"]) <= 50
        assert house.slack.complaints == []


async def test_who_may_not_ask_gets_the_refusal_for_both(tmp_path: Path) -> None:
    async with open_house(tmp_path, {"BOT_REQUESTERS": "U0ADA00001"}) as house:
        for command in ("list", "history"):
            said = house.slack.state.text_of(await whisper(house, command))

            assert "may not ask" in said
            assert "prod-eu" not in said
