"""Who decides: approvals, second submits, letting run, emergencies, late clicks."""

import asyncio

import pytest

from tests.support.serving import APPROVE, LET_RUN, OPEN, Serving, buttons, payload

ADA, ABE, RINA = "U0ADA00001", "U0ABE00001", "U0RINA0001"
APPROVALS = {"BOT_APPROVALS": "1", "BOT_APPROVERS": f"{ADA},{ABE}"}


@pytest.fixture
async def waiting(bot: Serving) -> Serving:
    """A bot whose requests need one approval."""
    bot.settings |= APPROVALS
    await bot.start()
    return bot


async def test_quorum_of_a_group_counts_each_person_once(bot: Serving) -> None:
    bot.settings |= {"BOT_APPROVALS": "2", "BOT_APPROVERS": "S0APPROVE1"}
    await bot.start()
    job = bot.download()
    await bot.asks("rina", job)
    await bot.approves("ada", job)
    await bot.reply(job, "approves (1 of 2)")
    message = await bot.message(job, "awaiting")
    await bot.slack.people.clicks("ada", message, APPROVE)
    await bot.told("ada", "already")
    assert not job.cancelled

    await bot.approves("abe", job)
    await bot.message(job, "cancelled")

    names = await bot.events(job)
    assert names[:3] == ["request:created", "request:approval_given", "request:approved"]
    assert bot.notified("asks to cancel") == {ADA, ABE, RINA}  # Rina, since it names her


async def test_second_submit_of_an_approver_is_an_approval(waiting: Serving) -> None:
    job = waiting.download()
    await waiting.asks("rina", job)
    await waiting.message(job, "awaiting")
    await waiting.types("ada", job.id)
    dialog = await waiting.dialog("ada")
    assert dialog["submit"]["text"] == "Approve cancelling"
    assert (await waiting.submits("ada", dialog, reason="yes")).ok

    await waiting.message(job, "cancelled")

    assert (await waiting.events(job))[:2] == ["request:created", "request:approved"]


async def test_second_submit_of_somebody_else_joins_and_names_who_asked(waiting: Serving) -> None:
    job = waiting.download()
    message = await waiting.message(job, "announced")
    first = await waiting.opens("rina", message)
    await waiting.asks("abe", job, "mine")
    await waiting.message(job, "awaiting")
    assert (await waiting.submits("rina", first, reason="mine too")).ok

    told = await waiting.told("rina", "asked to cancel")

    assert "Abe" in told
    assert (await waiting.events(job)).count("request:created") == 1


async def test_two_submits_at_once_are_one_request(bot: Serving) -> None:
    await bot.start()
    job = bot.download()
    message = await bot.message(job, "announced")
    views = {who: await bot.opens(who, message) for who in ("rina", "ada")}
    acks = await asyncio.gather(
        *(bot.submits(who, view, reason="both") for who, view in views.items())
    )

    await bot.message(job, "cancelled")

    assert all(ack.ok for ack in acks)
    assert (await bot.events(job)).count("request:created") == 1
    assert bot.deletes(job) == 1


async def test_approve_and_let_run_at_once_have_one_winner_and_the_loser_is_told(
    waiting: Serving,
) -> None:
    job = waiting.download()
    await waiting.asks("rina", job)
    message = await waiting.message(job, "awaiting")
    view = await waiting.opens("abe", message, LET_RUN)
    await asyncio.gather(
        waiting.slack.people.clicks("ada", message, APPROVE),
        waiting.submits("abe", view, reason="it is a drill"),
    )

    ended = await waiting.message(job, "cancelled", "denied")

    is_cancelled = payload(ended)["state"] == "cancelled"
    await waiting.told("abe" if is_cancelled else "ada", "Your click changed nothing")
    assert waiting.deletes(job) == int(is_cancelled) == int(job.cancelled)


async def test_let_run_ends_the_request_and_a_late_click_changes_nothing(waiting: Serving) -> None:
    job = waiting.download()
    await waiting.asks("rina", job)
    old = await waiting.message(job, "awaiting")
    assert (await waiting.lets_run("ada", job)).ok
    message = await waiting.message(job, "denied")
    assert "Let run by @Ada" in waiting.text(message)
    assert await waiting.reply(job, "lets this download run")
    assert waiting.notified("lets this download run") == {RINA, ADA}
    assert buttons(message) == ["Cancel this download (danger)"]

    await waiting.slack.people.clicks("abe", old, APPROVE, stale=True)

    assert "Ada" in await waiting.told("abe", "Your click changed nothing")
    assert not job.cancelled
    assert (await waiting.events(job))[-1] == "request:denied"


async def test_reason_is_mandatory_for_an_approver_who_lets_it_run(waiting: Serving) -> None:
    job = waiting.download()
    await waiting.asks("rina", job)
    view = await waiting.opens("ada", await waiting.message(job, "awaiting"), LET_RUN)
    ack = await waiting.submits("ada", view, reason="  ")

    assert list(ack.errors) == ["reason"]
    assert payload(await waiting.message(job))["state"] == "awaiting"


async def test_requester_withdraws_without_a_reason(waiting: Serving) -> None:
    job = waiting.download()
    await waiting.asks("rina", job)
    view = await waiting.opens("rina", await waiting.message(job, "awaiting"), LET_RUN)
    assert (await waiting.submits("rina", view)).ok

    await waiting.message(job, "withdrawn")

    assert (await waiting.events(job))[-1] == "request:withdrawn"


async def test_request_that_nobody_approves_expires_and_calls_everybody(bot: Serving) -> None:
    bot.settings |= APPROVALS | {"BOT_APPROVAL_TTL": "3"}
    await bot.start()
    job = bot.download()
    await bot.asks("rina", job)

    message = await bot.message(job, "expired")

    await bot.reply(job, "nobody approved in time")
    assert bot.notified("nobody approved in time") == {ADA, ABE, RINA}
    assert buttons(message) == ["Cancel this download (danger)"]
    assert not job.cancelled


async def test_emergency_turns_the_waiting_request_into_an_approved_one(bot: Serving) -> None:
    bot.settings |= APPROVALS | {
        "BOT_BREAK_GLASS": RINA,
        "BOT_APPROVERS": ADA,
        "BOT_REQUIRE_REASON": "false",
    }
    await bot.start()
    job = bot.download()
    await bot.asks("abe", job)
    await bot.message(job, "awaiting")
    await bot.types("rina", job.id)
    dialog = await bot.dialog("rina")
    without = await bot.submits("rina", dialog, alone=["alone"])
    assert "reason" in without.errors
    assert (await bot.submits("rina", None, alone=["alone"], reason="prod data")).ok

    await bot.message(job, "cancelled")

    names = await bot.events(job)
    assert names[:3] == ["request:created", "request:acted_alone", "request:cancelling"]
    assert bot.notified("cancels without approval") == {ADA, RINA}


async def test_person_who_may_not_ask_is_told_who_may(bot: Serving) -> None:
    bot.settings |= {"BOT_REQUESTERS": ADA}
    await bot.start()
    job = bot.download()
    message = await bot.message(job, "announced")
    await bot.slack.people.clicks("rina", message, OPEN)

    view = await bot.dialog("rina")

    assert "Ada" in bot.text(view)
    assert view.get("submit") is None


async def test_guest_may_not_ask_where_every_member_may(bot: Serving) -> None:
    await bot.start()
    job = bot.download()
    await bot.slack.people.clicks("gus", await bot.message(job, "announced"), OPEN)

    assert (await bot.dialog("gus")).get("submit") is None


async def test_fifteen_requests_within_a_minute_are_all_taken(waiting: Serving) -> None:
    jobs = [waiting.download() for _ in range(15)]
    for job in jobs:
        before = (waiting.slack.state.view_of("rina") or {}).get("id")
        await waiting.types("rina", job.id)
        view = await waiting.dialog("rina", before)
        assert view["submit"]["text"] == "Ask for approval"
        assert (await waiting.submits("rina", view, reason="by mistake")).ok

    assert await waiting.events() == ["request:created"] * len(jobs)
