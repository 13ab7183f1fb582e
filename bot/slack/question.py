"""Asks a person by direct message whether a download is theirs; the answers, and the alarm."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from bot.cancellation.errors import CancellationError
from bot.cancellation.job import Job, StarterAnswer
from bot.cancellation.lifecycle import State
from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.slack import blockkit, ids, job_lines, mrkdwn
from bot.slack.announcement import HEADLINES, notification
from bot.slack.blockkit import Block
from bot.slack.decisions import decide_when_possible
from bot.slack.dependencies import Dependencies, Interaction
from bot.slack.errors import other_version
from bot.slack.grammar import job_value, parse_job_value

WAS_IT_YOU = ":grey_question: Was it you? Atlas says that you started a download of a backup"
IT_WAS_ME, NOT_ME = "It was me", "It was not me"
ASKED = (
    f"Did you start it? If not, click *{NOT_ME}*: the approvers get an alarm at once. "
    "If you do not know, ask them before you answer."
)
UNCERTAIN = (
    ":information_source: The bot asked whether you started this download. Atlas's activity feed "
    "now shows that another person may have started it: no answer is needed."
)
NO_ANSWER = (
    "If you did not start it, tell your security team: another person may be using your Atlas "
    "account."
)
CLAIMED = ":information_source: You answered that it was you. The approvers see your answer."
DISOWNED = (
    ":rotating_light: *You answered that it was not you* Another person may be using your "
    "Atlas account. Do this now:\n"
    "1. In Atlas, end all your sessions, and change your password and second factor.\n"
    "2. Rotate the API keys and service accounts that you created.\n3. Call {whom}."
)
#: True under each policy: a reload does not change a question that was sent.
CONFIRMATION = (
    "The approvers get an alarm: another person may be using your Atlas account. If the rules "
    "allow it, the bot asks Atlas to cancel the download at once. This answer cannot be changed."
)


async def on_answer(given: StarterAnswer, deps: Dependencies, body: dict[str, Any]) -> None:
    by = deps.interaction(body)
    ref = parse_job_value(str(body["actions"][0].get("value") or ""))
    if ref is None:
        deps.reply(body, other_version("button"))
        return

    async def record() -> None:
        # The person may have become a guest since the question, and click with another id.
        person = await deps.directory.acting_now(by.actor, People())
        await deps.service.answer(ref, person, given)

    try:
        await deps.before_ack(record())
    except CancellationError as error:
        deps.start(_answer_later(record, deps, by, error), "answer", by)


async def _answer_later(
    record: Callable[[], Awaitable[None]],
    deps: Dependencies,
    by: Interaction,
    error: CancellationError,
) -> None:
    """Answer once Slack says who the person is, or report another refusal."""
    try:
        await decide_when_possible(record, deps, by, error)
    except CancellationError as refusal:
        await deps.refuse(by, refusal)


def message(
    job: Job,
    project_name: str,
    policy: Policy,
    *,
    why_read_only: str = "",
    now: datetime,
) -> dict[str, Any]:
    """Build `text` and `blocks` of the question; answered or ended it has no answers."""
    is_over, is_open = job.state.is_over, not (job.answer or job.state.is_over)
    is_asked = is_open and job.started_by.is_certain
    headline = WAS_IT_YOU if is_asked else HEADLINES[job.state]
    lines = [
        job_lines.headline(headline, job.ref, project_name),
        *_answered(job, policy),
        *([UNCERTAIN] if is_open and not is_asked else []),
        job_lines.started_line(job.ref, job, ended=is_over),
        *(job_lines.past_link(job) if is_over else [job_lines.link_line(job)]),
        *([NO_ANSWER] if is_over and not job.answer and job.started_by.is_certain else []),
        *([ASKED] if is_asked else mrkdwn.note(policy.note)),
        f"*Job id* {mrkdwn.code(job.ref.job_id)}",
    ]
    buttons = _buttons(job) if is_asked else []
    if job.answer is StarterAnswer.NOT_MINE and _needs_a_person(job, why_read_only):
        buttons = [job_lines.open_button(job.ref)]
    return {
        "text": notification(headline, job, project_name, now),
        "blocks": [
            blockkit.section("\n".join(lines)),
            *([blockkit.actions(*buttons)] if buttons else []),
        ],
    }


def _answered(job: Job, policy: Policy) -> list[str]:
    match job.answer:
        case StarterAnswer.MINE:
            return [CLAIMED]
        case StarterAnswer.NOT_MINE:
            whom = "your security team"
            if _is_being_cancelled(job):
                return [f"{DISOWNED.format(whom=whom)} {job_lines.IS_CANCELLED}"]
            if not job.state.is_over:
                whom += f", and {mrkdwn.one_of(policy.approvers)}, who may cancel the download"
            return [DISOWNED.format(whom=whom)]
    return []


def _is_being_cancelled(job: Job) -> bool:
    is_running = job.request and job.request.state in (State.APPROVED, State.CANCELLING)
    return bool(is_running) and not job.state.is_over


def _needs_a_person(job: Job, why_read_only: str) -> bool:
    return not (job.state.is_over or why_read_only or _is_being_cancelled(job))


def _buttons(job: Job) -> list[Block]:
    confirm = blockkit.confirm("It was not you?", CONFIRMATION, NOT_ME, style="danger")
    value = job_value(job.ref)
    return [
        blockkit.button(IT_WAS_ME, ids.MINE, value),
        blockkit.button(NOT_ME, ids.NOT_MINE, value, style="danger", confirm=confirm),
    ]


def alarm(
    job: Job, project_name: str, policy: Policy, *, why_read_only: str = ""
) -> dict[str, Any]:
    """Build the reply in the announcement's thread that mentions the approvers."""
    approvers = mrkdwn.people(policy.approvers)
    call = job_lines.call_to_cancel(job.request, job).format(who=approvers)
    download = mrkdwn.download(job.ref, project_name)
    alarm = job_lines.DISOWNED.format(actor=mrkdwn.person(job.asked), job=download)
    built = blockkit.message("\n".join([alarm, job_lines.link_line(job), call]))
    if _needs_a_person(job, why_read_only):
        built["blocks"].append(blockkit.actions(job_lines.open_button(job.ref)))
    return built
