"""The dialog of a job, and the one that asks why a download is let run (pure)."""

from datetime import datetime

from bot.atlas import DeliveryType
from bot.cancellation.decisions import approvals_needed
from bot.cancellation.download import Download, Ended, LinkPhase
from bot.cancellation.facts import Facts, Phase, facts_of
from bot.cancellation.people import Person
from bot.cancellation.policy import Act, may
from bot.cancellation.request import Request, State
from bot.cancellation.text import Moment, Quote, Text, User
from bot.cancellation.words import IN_ATLAS, ONLY_WATCHES, asked
from bot.services.lookup import JobDetails
from bot.slack import blockkit, mrkdwn
from bot.slack.blockkit import Block, View
from bot.slack.links import Links
from bot.slack.message import facts_line, where_line
from bot.slack.values import ALONE, DIALOG, REASON, REASON_DIALOG

TITLE = "Cancel a download"
LOOKING_UP = "Looking up …"
EMERGENCY = "Emergency: cancel now, without approval"
CANCEL, ASK, APPROVE, SUBMIT = (
    "Cancel the download",
    "Ask for approval",
    "Approve cancelling",
    "Submit",
)
#: Atlas's delivery types, for people; only a download can be cancelled.
KINDS = {
    DeliveryType.DOWNLOAD: "download",
    DeliveryType.AUTOMATED: "automated restore into a cluster",
    DeliveryType.POINT_IN_TIME: "point-in-time restore into a cluster",
}
_STATES = {
    LinkPhase.EXPECTED: "in progress",
    LinkPhase.ANY_MOMENT: "in progress",
    LinkPhase.LIVE: "its link is live",
    LinkPhase.GONE: "its link was used or withdrawn",
}
_ENDED = {
    Ended.CANCELLED: "cancelled",
    Ended.CANCELLED_AND_FAILED: "cancelled and failed: Atlas does not say what ended it",
    Ended.FAILED: "failed",
    Ended.EXPIRED: "expired",
    Ended.FINISHED: "finished",
    Ended.GONE: "not listed by Atlas any more",
}


def loading(metadata: str) -> View:
    """Return the dialog that opens at once."""
    return _modal([blockkit.section(LOOKING_UP)], metadata)


def problem(sentence: str, metadata: str = "") -> View:
    """Return the dialog with one sentence; it has nothing to submit."""
    return _modal([blockkit.section(sentence)], metadata)


def details(found: JobDetails, person: Person, links: Links, now: datetime, metadata: str) -> View:
    """Return the dialog of a job, with what this person may submit."""
    facts = facts_of(found.download, found.requests, found.policy)
    blocks = _head(found, facts, links, now)
    if why_not := why_not_cancellable(found):
        return _modal([*blocks, blockkit.section(why_not)], metadata)
    label = submit_label(found, facts, person)
    if label is None:
        joined = "Somebody has asked already. Your click would change nothing."
        return _modal([*blocks, blockkit.section(joined)], metadata)
    return _modal([*blocks, *_inputs(found, person)], metadata, submit=label)


def submit_label(found: JobDetails, facts: Facts, person: Person) -> str | None:
    """Return what a submit does; None where a request runs already."""
    policy, request = found.policy, found.open_request
    if request and request.state is not State.AWAITING:
        return None
    if may_act_alone(found, person):
        return SUBMIT
    if request and may(policy, Act.APPROVE, person, request.requester):
        return None if person.id in request.approved_by else APPROVE
    if request:
        return None
    return ASK if approvals_needed(policy, facts.download, person) else CANCEL


def may_act_alone(found: JobDetails, person: Person) -> bool:
    """Whether the box for an emergency is shown."""
    policy = found.policy
    acts = (Act.ASK, Act.ACT_ALONE)
    return policy.approvals > 0 and all(may(policy, act, person) for act in acts)


def why_not_cancellable(found: JobDetails) -> str | None:
    """Say why a job cannot be cancelled here; None if it can."""
    download = found.download
    if found.job.delivery_type != DeliveryType.DOWNLOAD:
        return "Atlas cancels downloads only, and this is another restore."
    if download.ended:
        return f"The download has ended: {_ENDED[download.ended]}. There is nothing to cancel."
    return ONLY_WATCHES if found.policy.read_only else None


def let_run_reason(metadata: str, *, is_own: bool) -> View:
    """Return the dialog that asks why a download is let run."""
    label = "Why does the download go on?"
    hint = "Everybody in the channel reads it."
    block = blockkit.text_input(REASON, label, hint=hint, optional=is_own)
    return blockkit.modal(
        [block],
        callback_id=REASON_DIALOG,
        title="Let it run",
        metadata=metadata,
        submit="Let it run",
    )


def let_run_problem(sentence: str) -> View:
    """Return the answer of that dialog where nothing was changed."""
    return blockkit.modal(
        [blockkit.section(sentence)], callback_id=REASON_DIALOG, title="Let it run", metadata=""
    )


def _modal(blocks: list[Block], metadata: str, submit: str | None = None) -> View:
    return blockkit.modal(blocks, callback_id=DIALOG, title=TITLE, metadata=metadata, submit=submit)


def _head(found: JobDetails, facts: Facts, links: Links, now: datetime) -> list[Block]:
    """Return what the dialog shows of the job."""
    where = mrkdwn.render(where_line(facts, found.project.name))
    blocks = [blockkit.section(f"*{where}*")]
    if facts.policy.note:
        blocks.append(blockkit.section(f"_{mrkdwn.escape(facts.policy.note, 400)}_"))
    lines = [mrkdwn.render(facts_line(facts, now)), mrkdwn.render(_job_line(found))]
    in_atlas = mrkdwn.link(links.cluster_page(found.ref), "Open in Atlas")
    blocks.append(blockkit.section("\n".join([*lines, in_atlas])))
    if lines := [mrkdwn.render(line) for line in _decisions(facts)]:
        blocks.append(blockkit.section("\n".join(lines)))
    return blocks


def _job_line(found: JobDetails) -> Text:
    kind = found.job.delivery_type
    label = KINDS.get(DeliveryType(kind)) if kind in set(DeliveryType) else None
    taken = found.download.shown.snapshot_time
    snapshot: Text = ("Snapshot ", Moment(taken)) if taken else ("Snapshot time not given",)
    state = state_words(found.download)
    return (*snapshot, f" · {label or 'other restore'}, {state} · job {found.ref.job_id}")


def state_words(download: Download) -> str:
    """Return the state of a job in words."""
    if download.ended:
        return _ENDED[download.ended]
    return _STATES[download.link(download.read_at).phase]


def _decisions(facts: Facts) -> list[Text]:
    """Say who asked, let it run or cancelled before: who, when and why."""
    lines: list[Text] = []
    if facts.auto_cancel_at:
        time = Moment(facts.auto_cancel_at, has_seconds=True)
        lines.append(("It will be cancelled at ", time, " unless somebody lets it run."))
    decision, request = facts.download.let_run, facts.request
    if decision and decision.by:
        lines.append(_let_run_before(decision.by, decision.at, decision.reason))
    elif request and request.state is State.DENIED and request.outcome.by:
        outcome = request.outcome
        lines.append(_let_run_before(request.outcome.by, request.changed_at, outcome.reason))
    if request and request.state is not State.DENIED:
        lines.append((*asked(request), *_outcome(request, facts)))
    return lines


def _let_run_before(user: str, at: datetime, reason: str) -> Text:
    why: Text = (" (", Quote(reason), ")") if reason else ()
    return (
        User(user),
        " let this download run at ",
        Moment(at),
        *why,
        ". You can still cancel it.",
    )


_OUTCOMES = {
    State.AWAITING: " It waits for approval.",
    State.APPROVED: " It is being cancelled.",
    State.CANCELLING: " It is being cancelled.",
    State.CANCELLED: " It was cancelled.",
    State.OVER: " The download ended by other means.",
    State.REFUSED: f" Atlas refused it. {IN_ATLAS}",
    State.CHANGED: " Nothing was sent, since Atlas showed another job.",
    State.FAILED: " The bot gave up. Look in Atlas.",
    State.WITHDRAWN: " The request was withdrawn.",
    State.EXPIRED: " Nobody approved in time.",
}


def _outcome(request: Request, facts: Facts) -> Text:
    is_stuck = facts.phase is Phase.CANCELLING and request.trouble
    return (" The bot is still trying.",) if is_stuck else (_OUTCOMES[request.state],)


def _inputs(found: JobDetails, person: Person) -> list[Block]:
    policy, has_box = found.policy, may_act_alone(found, person)
    hint = "Everybody in the channel reads it."
    if has_box:
        hint = f"{hint} Needed for an emergency."
    is_optional = not policy.require_reason
    blocks = [blockkit.text_input(REASON, "Why?", hint=hint, optional=is_optional)]
    if has_box:
        blocks.append(blockkit.checkbox(ALONE, "Emergency", EMERGENCY))
    return blocks
