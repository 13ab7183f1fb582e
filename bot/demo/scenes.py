"""The further scenes of the script, each in an environment with settings of its own."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bot.demo.environment import open_environment
from bot.demo.scenarios import ABE, ADA, GROUP, OPS, RINA
from bot.demo.stage import Output, Stage
from bot.sandbox.atlas.clock import wall_clock

REASON = "this backup was not ordered"

#: Lines of a card or a direct message that show its subject.
HEAD = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One scene: its settings, and what happens in it."""

    title: str
    note: str
    settings: Mapping[str, str]
    play: Callable[[Stage], Awaitable[None]]


async def play_scene(scene: Scene, out: Output) -> None:
    """Play a scene and print it.

    Raises:
        ScriptFailed: a step did not have its expected result.
    """
    async with open_environment(settings=scene.settings) as environment:
        stage = Stage(environment, out, calls="/restoreJobs/")
        stage.print_scene(scene.title, scene.note)
        await stage.wait_for_project_name()
        await scene.play(stage)


async def approvers_do_not_answer(stage: Stage) -> None:
    """Let a request wait until it is escalated, and approve it there."""
    job = stage.start_download()
    stage.print_step("Rina asks to cancel a download, which needs an approval")
    card = await stage.request(job, REASON)
    stage.print_step("Ada, who may approve, gets the card as a direct message")
    message = await stage.wait_for_direct_message("ada", "[Approve]")
    stage.print_blocks("to Ada", message, HEAD)
    await stage.wait_for_reply(card, "as a direct message")
    stage.print_step("Ada does not answer: each reminder mentions her, and comes directly too")
    for number in range(1, 4):
        await stage.wait_for_reply(card, "Reminder", number)
    stage.print_step("After the last one, Abe is notified, who may approve too")
    await stage.wait_for_reply(card, "Escalated")
    message = await stage.wait_for_direct_message("abe", "Escalated to you")
    stage.print_blocks("to Abe", message, HEAD)
    stage.print_step("Abe clicks “Approve” in his direct message")
    await stage.slack.people.clicks("abe", message, "cancel_restore_approve")
    await _end(stage, job)


async def acting_alone(stage: Stage) -> None:
    """Cancel without the approval that is required, and review it."""
    job = stage.start_download()
    stage.print_step("Rina opens a download; her dialog has “Cancel at once, without approval”")
    stage.print_part("dialog", await stage.open_dialog(job), "emergency")
    stage.print_step("She selects it, gives the reason, and clicks “Cancel the job”")
    card = await stage.submit({"reason": REASON, "alone": ["alone"]})
    await stage.wait_for_reply(card, "acted alone")
    await _end(stage, job)
    stage.print_step("Ada, who could have approved, gets a direct message too")
    stage.print_blocks("to Ada", await stage.wait_for_direct_message("ada", "acted alone"))
    stage.print_step("She reads the card and clicks “Reviewed”")
    await stage.slack.people.clicks("ada", stage.find_card(), "cancel_restore_review")
    await stage.wait_for_reply(card, "reviewed")
    stage.print_part("card", stage.find_card(), "eviewed")


async def link_goes_live(stage: Stage) -> None:
    """Let the link go live while a request waits."""
    job = stage.start_download()
    stage.print_step("Rina asks to cancel a download whose link is not there yet")
    card = await stage.request(job, REASON)
    stage.print_part("card", card, "*Download link*")
    stage.print_step("Atlas finishes: the link goes live while the request waits")
    stage.atlas.world.job(job).release(wall_clock())
    await stage.wait_for_reply(card, "live")
    stage.print_part("card", stage.find_card(), "*Download link*")
    stage.print_step("Ada approves")
    await stage.slack.people.clicks("ada", stage.find_card(), "cancel_restore_approve")
    await _end(stage, job)


async def quarantine(stage: Stage) -> None:
    """Let the bot cancel one unexpected download, and keep another."""
    stage.print_step("The bot reads each cluster once, to know which downloads are new")
    await stage.wait_for_watch()
    job, kept = stage.start_download(), stage.start_download("prod-us")
    stage.print_step("Two unexpected downloads are started; the bot announces them")
    stage.print_blocks("card", await stage.wait_for_card(job, "*Will be cancelled* 20"), HEAD + 2)
    stage.print_step("Ada knows the one of prod-us: she clicks “Keep it” and gives a reason")
    await _keep(stage, kept)
    stage.print_step(
        "No approver keeps the one of prod-eu: the bot cancels it at the end of its time"
    )
    await _end(stage, job)


async def _keep(stage: Stage, job: str) -> None:
    await stage.slack.people.clicks("ada", await stage.wait_for_card(job), "cancel_restore_keep")
    await stage.wait_for(lambda: stage.slack.state.view_of("ada"), "a dialog for the reason")
    await stage.slack.people.submits("ada", None, {"reason": "the yearly audit asked for it"})
    await _end(stage, job)


async def _end(stage: Stage, job: str) -> None:
    """Print the outcome of a request, and what Atlas has."""
    outcome = await stage.wait_for_outcome(job)
    stage.print_blocks("card", stage.find_card(job), HEAD)
    stage.print_blocks("thread", outcome)
    stage.print_result(job)


SCENES = (
    Scene(
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
    Scene(
        title="Acting alone",
        note="An approval is required, and BOT_BREAK_GLASS names Rina.",
        settings={"BOT_APPROVALS": "1", "BOT_APPROVERS": GROUP, "BOT_BREAK_GLASS": RINA},
        play=acting_alone,
    ),
    Scene(
        title="The link goes live while the request waits",
        note="The bot reads the job of each request that waits every few seconds.",
        settings={"BOT_APPROVALS": "1", "BOT_APPROVERS": GROUP},
        play=link_goes_live,
    ),
    Scene(
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
