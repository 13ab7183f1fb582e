"""The dialog of a job, and the one that asks why a download is let run (pure)."""

from datetime import datetime

from bot.atlas import DeliveryType
from bot.cancellation.decisions import approvals_needed
from bot.cancellation.download import Download, Ended, LinkPhase
from bot.cancellation.facts import Facts, facts_of
from bot.cancellation.people import Person
from bot.cancellation.policy import Act, may
from bot.cancellation.request import Request, State
from bot.cancellation.text import Moment, Text, User, joined
from bot.cancellation.words import (
    ONLY_WATCHES,
    asked,
    auto_cancel_line,
    because,
    let_run_line,
    why_withdrawn,
)
from bot.services.lookup import JobDetails
from bot.slack import blockkit, mrkdwn
from bot.slack.blockkit import Block, View
from bot.slack.links import Links
from bot.slack.message import facts_line, where_line
from bot.slack.values import ALONE, DIALOG, REASON, REASON_DIALOG

TITLE = "Cancel a download"
LOOKING_UP = "Looking up …"
EMERGENCY = "Emergency: cancel now, without approval"
ASKED_ALREADY = "Somebody has asked already. A submit changes nothing: it tells you where."
CANCEL, ASK, APPROVE, SUBMIT = (
    "Cancel the download",
    "Ask for approval",
    "Approve cancelling",
    "Submit",
)
MOST_REQUESTS = 3  #: the newest ones are shown
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
    label = submit_label(found, person)
    opened = found.open_request
    if opened and (label == ASK or (label == CANCEL and opened.state is not State.AWAITING)):
        blocks.append(blockkit.section(ASKED_ALREADY))
    return _modal([*blocks, *_inputs(found, person)], metadata, submit=label)


def submit_label(found: JobDetails, person: Person) -> str:
    """Return what a submit does; where a request runs already it changes nothing and says so."""
    policy, request = found.policy, found.open_request
    if may_act_alone(found, person):
        return SUBMIT
    is_waiting = request is not None and request.state is State.AWAITING
    may_approve = request is not None and may(policy, Act.APPROVE, person, request.requester)
    if request and is_waiting and may_approve and person.id not in request.approved_by:
        return APPROVE
    return ASK if approvals_needed(policy, found.download, person) else CANCEL


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


def let_run_reason(metadata: str, *, is_own: bool, remains: Text = ()) -> View:
    """Return the dialog that asks why a download is let run.

    `remains` says what still happens by auto-cancel after a requester withdraws the request.
    """
    does = "Withdraw the request" if remains else "Let it run"
    label = "Why do you withdraw it?" if remains else "Why does the download go on?"
    hint = "Everybody in the channel reads it."
    blocks = [blockkit.text_input(REASON, label, hint=hint, optional=is_own)]
    if remains:
        blocks.insert(0, blockkit.section(f"{mrkdwn.render(remains)}."))
    return blockkit.modal(
        blocks, callback_id=REASON_DIALOG, title=does, metadata=metadata, submit=does
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
        blocks.append(blockkit.section(mrkdwn.note(facts.policy.note)))
    lines = [mrkdwn.render(facts_line(facts, now)), mrkdwn.render(_job_line(found))]
    in_atlas = mrkdwn.link(links.cluster_page(found.ref), "Open in Atlas")
    blocks.append(blockkit.section("\n".join([*lines, in_atlas])))
    if lines := [mrkdwn.render(line) for line in _decisions(found, facts)]:
        blocks.append(blockkit.section("\n".join(lines)))
    return blocks


def _job_line(found: JobDetails) -> Text:
    kind = found.job.delivery_type
    label = KINDS.get(DeliveryType(kind)) if kind in set(DeliveryType) else None
    taken = found.download.shown.snapshot_time
    snapshot: Text = (
        ("Snapshot ", Moment(taken, has_date=True)) if taken else ("Snapshot time not given",)
    )
    state = state_words(found.download)
    return (*snapshot, f" · {label or 'other restore'}, {state} · job {found.ref.job_id}")


def state_words(download: Download) -> str:
    """Return the state of a job in words."""
    if download.ended:
        return _ENDED[download.ended]
    return _STATES[download.link(download.read_at).phase]


def _decisions(found: JobDetails, facts: Facts) -> list[Text]:
    """Say who asked, let it run or cancelled before: who, when and why."""
    lines: list[Text] = [(*time, ".")] if (time := auto_cancel_line(facts)) else []
    if not any(request.state is State.DENIED for request in found.requests):
        lines.append(let_run_line(facts))
    lines += [(*asked(item), " ", *_outcome(item)) for item in found.requests[:MOST_REQUESTS]]
    if facts.was_let_run and why_not_cancellable(found) is None:
        lines.append(("You can still cancel it.",))
    return [line for line in lines if line]


_OUTCOMES = {
    State.AWAITING: "It waits for approval",
    State.APPROVED: "It is being cancelled",
    State.CANCELLING: "It is being cancelled",
    State.CANCELLED: "Atlas confirmed that it is cancelled",
    State.OVER: "The download ended by other means",
    State.REFUSED: "Atlas refused to cancel it",
    State.CHANGED: "Nothing was sent, since Atlas showed another job",
    State.FAILED: "The bot gave up",
    State.EXPIRED: "Nobody approved in time",
}


def _outcome(request: Request) -> Text:
    """Say how a request stands, or who ended it, when and why."""
    time, outcome = Moment(request.changed_at, has_seconds=True), request.outcome
    if request.state is State.WITHDRAWN:
        return why_withdrawn(request)
    if request.state is State.DENIED:
        who: Text = (User(outcome.by),) if outcome.by else ("The bot",)
        return (*who, " let it run ", time, *because(outcome.reason), ".")
    by: list[Text] = [(User(item.user),) for item in request.approvals]
    approved: Text = (*joined(by, ", "), " approved. ") if by else ()
    if request.alone:
        approved = (User(request.alone), " cancels without approval. ")
    at: Text = () if request.is_open else (" (", time, ")")
    return (*approved, _OUTCOMES[request.state], *at, ".")


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
