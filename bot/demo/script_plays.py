"""What the people do in each scenario of the script."""

from collections.abc import Awaitable, Callable, Mapping

from bot.demo.scenarios import LONG_AGO
from bot.demo.script_session import ScriptSession

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
    """Kill the bot while its DELETE is out, and start it again."""
    await _announce(session)
    await session.open_dialog()
    await _request(session)
    await session.wait_for_delete()
    session.print_step("The bot sent its DELETE: it is killed with kill -9, and started again")
    await session.controller.kill_bot()
    await session.controller.start_bot()
    await _end(session)


async def outlast_a_fault(session: ScriptSession) -> None:
    """Cancel while Atlas refuses every DELETE for a while."""
    await _announce(session)
    await session.open_dialog()
    await _request(session)
    await session.wait_for_message("takes longer than usual")
    session.print_step("The message says what the bot tries")
    session.quote(session.message(), 5)
    session.print_step("The fault ends")
    await session.controller.clear_faults()
    await _end(session)


async def act_alone(session: ScriptSession) -> None:
    """Cancel without approval."""
    await _announce(session)
    await session.open_dialog()
    session.print_step("She ticks “Emergency: cancel now, without approval” and gives the reason")
    await session.submit({"reason": REASON, "alone": ["alone"]})
    reply = await session.wait_for_reply("without approval")
    session.quote(reply, 2)
    await _end(session)


async def wait_for_the_link(session: ScriptSession) -> None:
    """Let the link go live while a request waits."""
    await _announce(session, f"was started in Atlas {LONG_AGO:.0f} seconds ago")
    await session.open_dialog()
    await _request(session)
    reply = await session.wait_for_reply("is live now")
    session.print_step("The link goes live while the request waits")
    session.quote(reply, 2)
    await _approve(session)
    await _end(session)


async def let_auto_cancel_run(session: ScriptSession) -> None:
    """Let the auto-cancel time pass."""
    await _announce(session)
    await session.wait_for_outcome()
    session.print_step("Nobody let it run: the bot cancelled it at its time")
    await _end(session)


async def _announce(session: ScriptSession, began: str = "is started in Atlas") -> None:
    session.print_step(f"A download of prod-eu {began}")
    announcement = await session.wait_for_announcement()
    session.skip_to(30)
    session.print_step(f"The bot announces it in #ops, {session.time_left()} before the link")
    session.quote(announcement, 3)


async def _request(session: ScriptSession) -> None:
    await session.submit({"reason": REASON})
    session.print_step("She gives a reason and submits: the message shows it")
    session.quote(session.message(), 1)


async def _approve(session: ScriptSession) -> bool:
    """Approve as often as it is needed; return whether it was."""
    is_needed = session.state() == "awaiting"
    for name in ("ada", "abe"):
        if session.state() == "awaiting":
            session.skip_to(80)
            session.print_step(f"{name.title()} clicks “Approve cancelling” on the message")
            await session.approve(name)
    return is_needed


async def _end(session: ScriptSession, *, decided_at: float = 0.0) -> None:
    outcome = await session.wait_for_outcome()
    session.skip_to(decided_at + 1)
    session.print_calls()
    session.skip_to(decided_at + 2)
    session.print_step("The message and its thread have the outcome")
    session.quote(session.message(), 1)
    session.quote(outcome, 2)


Play = Callable[[ScriptSession], Awaitable[None]]

#: The play of each scenario that is not only `cancel`.
PLAYS: Mapping[str, Play] = {
    "restart": kill_the_bot,
    "maintenance": outlast_a_fault,
    "emergency": act_alone,
    "link-live": wait_for_the_link,
    "auto-cancel": let_auto_cancel_run,
}
