"""What the people do in each scenario of the script."""

from collections.abc import Awaitable, Callable, Mapping

from bot.demo.scenarios import CLUSTER, LONG_AGO
from bot.demo.script_session import REQUESTER, ScriptSession

REASON = "started on the wrong cluster"


async def cancel(session: ScriptSession) -> None:
    """Cancel the download that the bot announces, with the pauses of the README's table."""
    await _announce(session)
    session.skip_to(50)
    await session.open_dialog()
    await _request(session)
    is_approved = await _approve(session)
    await _end(session, decided_at=80 if is_approved else 50)


async def kill_the_bot(session: ScriptSession) -> None:
    await _announce(session)
    await session.open_dialog()
    await session.submit({"reason": REASON})
    await session.wait_for_state("cancelling")
    session.print_step("The bot sent its DELETE: it is killed with kill -9, and started again")
    await session.controller.kill_bot()
    await session.controller.start_bot()
    await _end(session)


async def try_an_automated_restore(session: ScriptSession) -> None:
    line = f"/cancel-restore {CLUSTER} {session.job.id}"
    session.print_step(f"Rina types {line}")
    await session.slack.people.types(REQUESTER, "ops", line)
    session.quote(await session.wait_for_dialog("automated"), 4)


async def do_not_answer(session: ScriptSession) -> None:
    await _announce(session)
    await session.open_dialog()
    card = await _request(session)
    await session.wait_for_reply(card, "Reminder")  # on a slow machine several become one
    session.print_step("Ada is reminded, who may approve, and does not answer")
    await session.wait_for_reply(card, "Escalated")
    session.print_step("Abe is notified directly, who may approve too")
    message = await session.wait_for_direct_message("abe", "Escalated to you")
    session.quote(message, 3)
    session.print_step("Abe clicks “Approve cancelling” in his direct message")
    await session.slack.people.clicks("abe", message, "cancel_restore_approve")
    await _end(session)


async def act_alone(session: ScriptSession) -> None:
    await _announce(session)
    await session.open_dialog()
    session.print_step("She ticks “Cancel at once, without approval” and gives the reason")
    card = await session.submit({"reason": REASON, "alone": ["alone"]})
    await session.wait_for_reply(card, "acted alone")
    await _end(session)
    session.print_step("Ada, who could have approved, reviews it")
    await session.slack.people.clicks("ada", session.card(), "cancel_restore_review")
    session.quote(await session.wait_for_reply(card, "reviewed what"), 1)


async def wait_for_the_link(session: ScriptSession) -> None:
    await _announce(session, f"was started in Atlas {LONG_AGO:.0f} seconds ago")
    await session.open_dialog()
    card = await _request(session)
    reply = await session.wait_for_reply(card, "live")
    session.print_step("The link goes live while the request waits")
    session.quote(reply, 2)
    await _approve(session)
    await _end(session)


async def keep_nothing(session: ScriptSession) -> None:
    await _announce(session)
    await session.wait_for_outcome()
    session.print_step("No approver kept it: the bot cancelled it at the end of its time")
    await _end(session)


async def deny_the_start(session: ScriptSession) -> None:
    await _announce(session)
    question = await session.wait_for_direct_message(REQUESTER, "Was it you?")
    session.print_step("It asks Rina directly, whose account Atlas names")
    session.quote(question, 2)
    session.print_step("Rina clicks “It was not me”")
    await session.slack.people.clicks(REQUESTER, question, "cancel_restore_not_mine")
    await _end(session)
    session.print_step("The card, which is the announcement, says that it was not Rina")
    session.quote(session.card(), 2)


async def _announce(session: ScriptSession, began: str = "is started in Atlas") -> None:
    session.print_step(f"A download of prod-eu {began}")
    announcement = await session.wait_for_announcement()
    session.skip_to(30)
    session.print_step(f"The bot announces it in #ops, {session.time_left()} before the link")
    session.quote(announcement, 4)


async def _request(session: ScriptSession) -> dict[str, object]:
    card = await session.submit({"reason": REASON})
    session.print_step("She gives a reason and submits: the bot posts a card")
    session.quote(card, 1)
    return card


async def _approve(session: ScriptSession) -> bool:
    """Approve as often as it is needed; return whether it was."""
    is_needed = session.state() == "awaiting"
    for name in ("ada", "abe"):
        if session.state() == "awaiting":
            session.skip_to(80)
            session.print_step(f"{name.title()} clicks “Approve cancelling” on the card")
            await session.approve(name)
    return is_needed


async def _end(session: ScriptSession, *, decided_at: float = 0.0) -> None:
    outcome = await session.wait_for_outcome()
    session.skip_to(decided_at + 1)
    session.print_calls()
    session.skip_to(decided_at + 2)
    session.print_step("The thread has the outcome")
    session.quote(outcome, 5)


Play = Callable[[ScriptSession], Awaitable[None]]

#: The play of each scenario that is not only `cancel`.
PLAYS: Mapping[str, Play] = {
    "restart": kill_the_bot,
    "automated": try_an_automated_restore,
    "unanswered": do_not_answer,
    "alone": act_alone,
    "link-live": wait_for_the_link,
    "quarantine": keep_nothing,
    "not-mine": deny_the_start,
}
