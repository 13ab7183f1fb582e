"""`kill -9` at every step of a request's life: what was acknowledged ends, once and on record."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from bot.sandbox.slack import Settings
from tests.acceptance.durability.house import BOUND, opened, state_of
from tests.acceptance.durability.moments import MOMENTS, POST, after_slack_took
from tests.acceptance.durability.side_by_side import side_by_side
from tests.support.timings import SHORT_PROCESS_TIMINGS

if TYPE_CHECKING:
    from tests.acceptance.durability.conftest import NewLedger
    from tests.acceptance.durability.house import House
    from tests.acceptance.durability.moments import Moment


async def killed_once(house: House, moment: Moment) -> None:
    """Ask, die at the moment, start anew, and see everything to its end within the bound."""
    await house.start()
    job = house.new_job()
    await house.opens("rina", job)
    dying = asyncio.create_task(moment(house, job))
    await asyncio.sleep(0)
    ack = await house.insists(lambda: house.submits("rina", job))
    assert ack.ok, ack
    try:
        await asyncio.wait_for(dying, 20)
    except TimeoutError:
        raise TimeoutError(f"its moment never came: {house.story()}") from None
    await ended_anew(house)


async def ended_anew(house: House) -> None:
    house.atlas.faults.clear()
    house.slack.faults.clear()
    bot = await house.start()
    await house.until_ended(bot.started_at + BOUND - time.monotonic())
    await house.check()
    assert await bot.stop() == 0, bot.log


@pytest.mark.timeout(300)  # thirteen houses, on machines that may have much else to do
async def test_killed_at_any_step_a_request_ends_within_30_seconds_of_the_next_start(
    kind: str,
    new_ledger: NewLedger,
) -> None:
    """With the real leases on SQLite, with short ones on PostgreSQL."""
    timings = None if kind == "sqlite" else SHORT_PROCESS_TIMINGS

    async def scenario(moment: Moment) -> None:
        async with opened(await new_ledger(), timings=timings) as house:
            await killed_once(house, moment)

    await side_by_side({name: scenario(moment) for name, moment in MOMENTS.items()})


@pytest.mark.timeout(300)
async def test_killed_right_after_an_ack_nothing_is_lost(new_ledger: NewLedger) -> None:
    async def submission() -> None:
        async with opened(await new_ledger()) as house:
            await house.start()
            await house.asks("rina")
            house.bot.kill()
            await ended_anew(house)

    async def approval() -> None:
        async with opened(await new_ledger(), approvals=1) as house:
            await house.start()
            job = await house.asks("rina")
            ack = await house.slack.people.clicks(
                "ada", await house.card_of(job), "cancel_restore_approve"
            )
            house.bot.kill()
            assert ack.ok
            await ended_anew(house)

    async def waiting() -> None:
        """What waits for approval waits on, and its old card's buttons work."""
        async with opened(await new_ledger(), approvals=1) as house:
            await house.start()
            job = await house.asks("rina")
            card = await house.card_of(job)
            house.bot.kill()
            await house.start()
            ack = await house.slack.people.clicks("ada", card, "cancel_restore_approve")
            assert ack.ok
            await house.until_ended()
            await house.check()

    async def over_http() -> None:
        """In HTTP mode, with the record verified as an operator would."""
        async with opened(await new_ledger(), mode="http") as house:
            await killed_once(house, MOMENTS["the DELETE has its effect and no answer"])
            await house.verify()

    await side_by_side(
        {
            "the submission is acknowledged": submission(),
            "the approval is acknowledged": approval(),
            "it waits for approval": waiting(),
            "Slack posts to one address": over_http(),
        }
    )


async def test_a_submission_that_was_not_acknowledged_is_one_request_when_it_comes_again(
    on_sqlite: str,
) -> None:
    async with opened(on_sqlite) as house:
        await house.start()
        job = house.new_job()
        await house.opens("rina", job)
        sockets = house.slack.sockets
        sockets.freeze()  # what the bot answers is lost on the way
        lost = await house.submits("rina", job)
        house.bot.kill()
        sockets.freeze(frozen=False)
        await house.start()

        again = await house.slack.people.redelivers()

        assert (lost.error, again.ok) == ("operation_timeout", True)
        house.asked.append(job)
        await house.until_ended()
        await house.check()


async def test_where_slack_ignores_client_msg_id_a_second_card_is_settled_at_its_first_click(
    on_sqlite: str,
) -> None:
    settings = Settings(client_msg_id="ignore")
    async with opened(on_sqlite, approvals=1, settings=settings) as house:
        await house.start()
        job = house.new_job()
        await house.opens("rina", job)
        dying = asyncio.create_task(after_slack_took(POST)(house, job))
        await asyncio.sleep(0)
        await house.submits("rina", job)
        await asyncio.wait_for(dying, 20)
        await house.start()
        await house.slack.until(lambda: len(house.cards_of(job)) == 2, BOUND)
        stray, card = house.cards_of(job)

        ack = await house.slack.people.clicks("ada", stray, "cancel_restore_approve")

        assert ack.ok
        await house.slack.until(lambda: house.ended(job))
        settled = await house.slack.until(lambda: _settled(house, stray["ts"]))
        assert settled
        assert [state_of(each) for each in house.cards_of(job) if each["ts"] == card["ts"]] == [
            "cancelled"
        ]
        house.check_deletes(job)
        await house.check_record()


def _settled(house: House, ts: str) -> bool:
    """Whether a message has no button left that decides."""
    message = house.slack.state.message("ops", ts)
    return message is not None and "cancel_restore_approve" not in str(message["blocks"])
