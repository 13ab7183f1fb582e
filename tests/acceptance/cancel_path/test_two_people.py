"""Double clicks, second deliveries, and several people at once: one request, one DELETE."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bot.sandbox.atlas import Fault, Kind
from tests.acceptance.house import RUNNING, is_card, open_house

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.house import House, Json

JOB = RUNNING[1]


def cards(house: House) -> list[Json]:
    return [message for message in house.slack.state.messages("ops") if is_card(message)]


@pytest.mark.parametrize("http", [False, True])
async def test_a_second_delivery_of_a_submit_is_the_same_request(
    tmp_path: Path, http: bool
) -> None:
    async with open_house(tmp_path, http=http) as house:
        await house.asks(RUNNING, Fault(kind=Kind.DELAY, method="DELETE", seconds=0.3))
        again = await house.slack.people.redelivers()
        late = await house.slack.people.redelivers()
        await house.ends(JOB)
        last = await house.slack.people.redelivers()

        assert all(ack.ok for ack in (again, late, last))
        assert len(cards(house)) == 1
        assert len(house.slack.state.replies(cards(house)[0])) == 1
        assert len(house.atlas.deletes(JOB)) == 1


async def test_a_double_click_on_submit_is_one_request(house: House) -> None:
    view = await house.looks_up(RUNNING)
    await asyncio.gather(
        house.slack.people.submits("rina", view, {"reason": "twice"}),
        house.slack.people.submits("rina", view, {"reason": "twice"}),
    )
    await house.ends(JOB)

    assert len(cards(house)) == 1
    assert len(house.atlas.deletes(JOB)) == 1


async def test_a_second_delivery_of_a_command_opens_no_second_dialog(house: House) -> None:
    """As a replica sees it that did not get the first one: Slack refuses the used trigger."""
    view = await house.looks_up(RUNNING)
    sockets = house.slack.sockets
    first = sockets.envelopes[-1]
    await sockets.send(first["type"], first["payload"], retry_attempt=1, retry_reason="timeout")
    await house.slack.until(lambda: len(house.slack.called("views.open")) == 2)

    assert [each["id"] for each in house.slack.state.views_of("rina")] == [view["id"]]
    assert house.slack.state.ephemerals("rina") == []


async def test_a_second_delivery_of_a_command_is_not_handled_again(house: House) -> None:
    view = await house.looks_up(RUNNING)
    assert (await house.slack.people.redelivers()).ok

    assert len(house.slack.called("views.open")) == 1
    assert [each["id"] for each in house.slack.state.views_of("rina")] == [view["id"]]


async def test_two_people_at_once_get_one_request_and_the_loser_is_told_who_won(
    house: House,
) -> None:
    await house.looks_up(RUNNING, "rina")
    await house.looks_up(RUNNING, "ada")
    house.atlas.faults.add(Fault(kind=Kind.DELAY, method="DELETE", seconds=0.3))
    await asyncio.gather(
        house.slack.people.submits("rina", None, {"reason": "mine"}),
        house.slack.people.submits("ada", None, {"reason": "mine too"}),
    )
    await house.ends(JOB)

    assert len(cards(house)) == 1
    assert len(house.atlas.deletes(JOB)) == 1
    (loser,) = [who for who in ("rina", "ada") if house.slack.state.view_of(who)]
    winner = {"rina": "Ada", "ada": "Rina"}[loser]
    told = house.slack.state.text_of(house.slack.state.view_of(loser) or {})
    assert f"@{winner} asked for this restore job already" in told
    assert "[Cancel the job]" not in told


async def test_an_open_request_is_shown_to_whoever_looks_next(house: House) -> None:
    await house.asks(RUNNING, Fault(kind=Kind.DELAY, method="DELETE", seconds=1.0))
    await house.slack.until(lambda: bool(cards(house)))
    view = await house.looks_up(RUNNING, "ada")
    shown = house.slack.state.text_of(view)

    assert "@Rina asked for this already" in shown
    assert not view["submit"]
    assert (await house.ends(JOB)).state == "cancelled"


async def test_after_the_outcome_the_next_look_shows_the_job_as_it_is(house: House) -> None:
    await house.asks(RUNNING)
    await house.ends(JOB)
    view = await house.looks_up(RUNNING, "ada")

    assert "There is nothing left to cancel: the job is cancelled." in house.slack.state.text_of(
        view
    )


async def test_a_guest_is_told_no_in_the_dialog_and_nothing_is_asked(house: House) -> None:
    view = await house.looks_up(RUNNING, "gus")

    assert not view["submit"]
    assert "You may not ask" in house.slack.state.text_of(view)
    assert house.slack.state.messages("ops") == []


async def test_ten_jobs_at_once_are_ten_requests(house: House) -> None:
    jobs = [house.new_job() for _ in range(10)]
    for job in jobs:
        await house.asks(job)
    endings = [await house.ends(job[1]) for job in jobs]

    assert {ending.state for ending in endings} == {"cancelled"}
    assert sorted(house.atlas.world.cancellations) == sorted(job[1] for job in jobs)
    assert len(house.atlas.deletes()) == 10
