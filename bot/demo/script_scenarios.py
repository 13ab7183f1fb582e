"""The further scenarios of the script, each in an environment with settings of its own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bot.demo.environment import open_environment
from bot.demo.scenarios import ABE, ADA, GROUP, OPS, RINA
from bot.demo.script_session import Output, ScriptSession
from bot.sandbox.atlas.clock import wall_clock

REASON = "this backup was not ordered"

#: Lines of a card or a direct message that show its subject.
HEAD = 4

#: Words of a quarantined card once it names the moment of the cancellation: a date of this century.
IS_COUNTED = "*Will be cancelled* 20"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptScenario:
    """One scenario: its settings, and what happens in it."""

    title: str
    note: str
    settings: Mapping[str, str]
    play: Callable[[ScriptSession], Awaitable[None]]


async def run_scenario(scenario: ScriptScenario, out: Output) -> None:
    """Play a scenario and print it.

    Raises:
        ScriptFailed: a step did not have its expected result.
    """
    async with open_environment(settings=scenario.settings) as environment:
        session = ScriptSession(environment, out, calls="/restoreJobs/")
        session.print_title(scenario.title, scenario.note)
        await session.wait_for_project_name()
        await scenario.play(session)


async def approvers_do_not_answer(session: ScriptSession) -> None:
    """Let a request wait until it is escalated, and approve it there."""
    job = session.start_download()
    session.print_step("Rina asks to cancel a download, which needs an approval")
    card = await session.request(job, REASON)
    session.print_step("Ada, who may approve, gets the card as a direct message")
    message = await session.wait_for_direct_message("ada", "[Approve]")
    session.print_blocks("to Ada", message, HEAD)
    await session.wait_for_reply(card, "as a direct message")
    session.print_step("Ada does not answer: each reminder mentions her, and comes directly too")
    for number in range(1, 4):
        await session.wait_for_reply(card, "Reminder", number)
    session.print_step("After the last one, Abe is notified, who may approve too")
    await session.wait_for_reply(card, "Escalated")
    message = await session.wait_for_direct_message("abe", "Escalated to you")
    session.print_blocks("to Abe", message, HEAD)
    session.print_step("Abe clicks “Approve” in his direct message")
    await session.slack.people.clicks("abe", message, "cancel_restore_approve")
    await _end(session, job)


async def acting_alone(session: ScriptSession) -> None:
    """Cancel without the approval that is required, and review it."""
    job = session.start_download()
    session.print_step("Rina opens a download; her dialog has “Cancel at once, without approval”")
    session.print_part("dialog", await session.open_dialog(job), "emergency")
    session.print_step("She selects it, gives the reason, and clicks “Cancel the job”")
    card = await session.submit({"reason": REASON, "alone": ["alone"]})
    await session.wait_for_reply(card, "acted alone")
    await _end(session, job)
    session.print_step("Ada, who could have approved, gets a direct message too")
    session.print_blocks("to Ada", await session.wait_for_direct_message("ada", "acted alone"))
    session.print_step("She reads the card and clicks “Reviewed”")
    await session.slack.people.clicks("ada", session.find_card(), "cancel_restore_review")
    await session.wait_for_reply(card, "reviewed")
    session.print_part("card", session.find_card(), "eviewed")


async def link_goes_live(session: ScriptSession) -> None:
    """Let the link go live while a request waits."""
    job = session.start_download()
    session.print_step("Rina asks to cancel a download whose link is not there yet")
    card = await session.request(job, REASON)
    session.print_part("card", card, "*Download link*")
    session.print_step("Atlas finishes: the link goes live while the request waits")
    session.atlas.world.job(job).release(wall_clock())
    await session.wait_for_reply(card, "live")
    session.print_part("card", session.find_card(), "*Download link*")
    session.print_step("Ada approves")
    await session.slack.people.clicks("ada", session.find_card(), "cancel_restore_approve")
    await _end(session, job)


async def quarantine(session: ScriptSession) -> None:
    """Let the bot cancel one unexpected download, and keep another."""
    session.print_step("The bot reads each cluster once, to know which downloads are new")
    await session.wait_for_watch()
    job, kept = session.start_download(), session.start_download("prod-us")
    session.print_step("Two unexpected downloads are started; the bot announces them")
    card = await session.wait_for_card(job, IS_COUNTED)
    session.print_blocks("card", card, HEAD + 2)
    session.print_step("Ada knows the one of prod-us: she clicks “Keep it” and gives a reason")
    await _keep(session, kept)
    session.print_step(
        "No approver keeps the one of prod-eu: the bot cancels it at the end of its time"
    )
    await _end(session, job)


async def _keep(session: ScriptSession, job: str) -> None:
    card = await session.wait_for_card(job)
    await session.slack.people.clicks("ada", card, "cancel_restore_keep")
    await session.wait_for(lambda: session.slack.state.view_of("ada"), "a dialog for the reason")
    await session.slack.people.submits("ada", None, {"reason": "the yearly audit asked for it"})
    await _end(session, job)


async def _end(session: ScriptSession, job: str) -> None:
    """Print the outcome of a request, and what Atlas has."""
    outcome = await session.wait_for_outcome(job)
    session.print_blocks("card", session.find_card(job), HEAD)
    session.print_blocks("thread", outcome)
    session.print_result(job)


SCRIPT_SCENARIOS = (
    ScriptScenario(
        title="Approvers do not answer",
        note="The reminders come after 4, 8 and 12 s here; in a deployment, after 1, 3 and 10 min.",
        settings={
            "BOT_APPROVALS": "1",
            "BOT_APPROVERS": ADA,
            "BOT_ESCALATE_TO": ABE,
            "BOT_REMIND_AFTER": "4,8,12",
        },
        play=approvers_do_not_answer,
    ),
    ScriptScenario(
        title="Acting alone",
        note="An approval is required, and BOT_BREAK_GLASS names Rina.",
        settings={"BOT_APPROVALS": "1", "BOT_APPROVERS": GROUP, "BOT_BREAK_GLASS": RINA},
        play=acting_alone,
    ),
    ScriptScenario(
        title="The link goes live while the request waits",
        note="The bot reads the job of each request that waits every few seconds.",
        settings={"BOT_APPROVALS": "1", "BOT_APPROVERS": GROUP},
        play=link_goes_live,
    ),
    ScriptScenario(
        title="Quarantine",
        note="An approver must keep a new download; here within 8 s, by default 90.",
        settings={
            "BOT_APPROVERS": GROUP,
            "BOT_WATCH_CHANNEL": OPS,
            "BOT_WATCH_INTERVAL": "2",
            "BOT_EVENTS_INTERVAL": "3",
            "BOT_QUARANTINE": "enforce",
            "BOT_QUARANTINE_GRACE": "8",
        },
        play=quarantine,
    ),
)
