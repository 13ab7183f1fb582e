"""Builds the card of a request, which is updated at every change of its state."""

from datetime import datetime, timedelta
from typing import Any

from bot.cancellation.events import EventName
from bot.cancellation.job import Job, StarterAnswer
from bot.cancellation.lifecycle import UNDECIDED, Request, State
from bot.cancellation.people import People
from bot.cancellation.policy import Mode, Policy
from bot.cancellation.quarantine import NOT_KEPT
from bot.cancellation.starter import StarterStatus
from bot.log_config import REMOVED
from bot.slack import blockkit, ids, job_lines, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.channels import is_direct
from bot.slack.client import Links
from bot.slack.deployment import labelled

PART_REMOVED = (
    f"_{REMOVED} was a link or a secret. It is not kept; change it if others may have seen it._"
)
APPROVE, DENY, MARK = "Approve cancelling", "Deny", "Mark as reviewed"
#: The states after the grace time has passed; a download that was disowned says so above.
RUN = frozenset({State.APPROVED, State.CANCELLING, State.CANCELLED, State.FAILED, State.REFUSED})
KEEPABLE = frozenset({State.QUARANTINED, State.KEPT})
STARTER_MAY_KEEP = (
    ":warning: Atlas does not let the bot read who started it, so that person may keep it, too."
)
NOT_CERTAIN = "It is not certain who started it, so it does not count as an expected download."
WAS_NOT_CERTAIN = "It was not certain who started it, so it did not count as an expected download."


def message(
    request: Request,
    approvers: People | None,
    links: Links,
    job: Job,
    mode: Mode = Mode.ENFORCE,
    *,
    note: str = "",
    now: datetime,
) -> dict[str, Any]:
    """Build `text`, `blocks` and `metadata`: what decides comes first, the ids last.

    `approvers` is None if the project was removed; `mode` is that of its quarantine, `note` of its
    policy. The text for notifications says how much time is left.
    """
    label = mrkdwn.state_label(request)
    headline = job_lines.headline(label, request.ref, request.project_name)
    who = people(approvers)
    answered, facts = job_lines.answer_lines(job), job_lines.card_lines(request, job)
    lines, own = [headline, *answered, *facts, *mrkdwn.note(note)], request.by_bot
    texts = [
        "\n".join(lines),
        *(_quarantine(request, who, mode, job) if own else _asked(request, who)),
        _outcome(request),
        job_lines.next_step(request, job, is_served=approvers is not None),
    ]
    buttons = _buttons(request, mode, is_over=job.ended is not None)
    details = [*mrkdwn.job_facts(request.shown), ("Job id", mrkdwn.code(request.ref.job_id))]
    blocks = [
        *(blockkit.section(text) for text in texts if text),
        *([blockkit.actions(*buttons)] if buttons else []),
        blockkit.fields(details),
        blockkit.context(_footer(request, links)),
    ]
    is_undecided = request.state in UNDECIDED
    about = _notice(request, job, mode, now) if is_undecided else _summary(request)
    text = blockkit.cut(labelled(f"{label} - {about}"), blockkit.FALLBACK)
    return {"text": text, "blocks": blocks, "metadata": metadata(request, request.state)}


#: What follows the first lines of a later copy, by the event that it follows.
COPY_HEADINGS = {
    EventName.REMINDED: ":bell: *Reminder* The request still waits for approval.",
    EventName.ESCALATED: (
        ":rotating_light: *Escalated to you* The other approvers have not decided yet."
    ),
}
#: The same of a message that approvers get because the channel takes no posts.
SENT_DIRECTLY = ":warning: *Sent to you directly* The bot cannot post in the channel for this."


def copy(
    card: dict[str, Any], request: Request, links: Links, heading: str | None = None
) -> dict[str, Any]:
    """Build the copy of a card for an approver.

    It links to the thread, which has every step, unless that is in the requester's direct message.
    """
    url = None if is_direct(request.channel) else links.card_of(request)
    thread = f"Every step is {mrkdwn.link(url, 'in the thread of the card')}."
    return card | {
        "blocks": [
            card["blocks"][0],
            *([blockkit.section(heading)] if heading else []),
            *map(_without_withdraw, card["blocks"][1:]),
            *([blockkit.context(thread)] if url else []),
        ]
    }


def _without_withdraw(block: Block) -> Block:
    """Leave out the button that only the requester may use."""
    if block["type"] != "actions":
        return block
    kept = [each for each in block["elements"] if each["action_id"] != ids.WITHDRAW]
    return block | {"elements": kept}


def metadata(request: Request, state: State) -> dict[str, Any]:
    """Build the metadata by which programs recognise a card and an outcome."""
    payload = {"request": request.id, "state": str(state)}
    return {"event_type": ids.METADATA, "event_payload": payload}


def _summary(request: Request) -> str:
    """Summarise the request for notifications and screen readers."""
    job = mrkdwn.summary(request)
    if request.by_bot:
        return job
    alone = " without approval" if request.acted_alone else ""
    asks = "asked" if request.state.ended else "asks"
    return f"{mrkdwn.person(request.requester)} {asks} to cancel {job}{alone}"


def _notice(request: Request, job: Job, mode: Mode, now: datetime) -> str:
    """Say in a notification what people decide about, and how much time is left."""
    follows = f"{mrkdwn.person(request.requester)} asks to cancel it"
    if request.by_bot:
        grace = (request.grace_ends_at or request.expires_at) - now
        follows = "the bot cancels it" if mode is Mode.ENFORCE else "it would be cancelled"
        follows = "the bot tries again" if request.outcome.tries_again else follows
        follows += f" in {mrkdwn.duration(max(grace, timedelta()))}"
    about = job_lines.notice(request.ref, request.project_name, job, now)
    return f"{about}; {follows} (job {mrkdwn.code(request.ref.job_id)})"


def _asked(request: Request, who: str) -> list[str]:
    """Say who asked, who reviewed it, and whose approvals are given or missing."""
    requester = mrkdwn.person(request.requester)
    asked = f"*Cancellation asked by* {requester}, {mrkdwn.date(request.created_at)}"
    if request.ask.reason.strip():
        removed = f"\n{PART_REMOVED}" if REMOVED in request.ask.reason else ""
        asked += f"\n{mrkdwn.quote(request.ask.reason)}{removed}"
    if not request.acted_alone:
        return [asked, _approvals(request, who)]
    review = f"Waits for one review* by {who}"
    if request.reviewed_by and request.reviewed_at:
        reviewer = mrkdwn.person(request.reviewed_by)
        review = f"Reviewed by* {reviewer}, {mrkdwn.date(request.reviewed_at)}"
    alone = f":rotating_light: *Without approval* {requester} acted alone\n*{review}"
    return [asked, alone, _approvals(request, who)]


def people(approvers: People | None) -> str:
    return mrkdwn.people(approvers) if approvers else "none: the project was removed"


def _approvals(request: Request, who: str) -> str:
    lines = []
    given = mrkdwn.approved_by(request)
    if request.approvals_needed and (given or request.state is State.AWAITING):
        count = f"{len(request.approvals)} of {request.approvals_needed}"
        lines.append(f"*Approved by* {given or 'none yet'} ({count})")
    lines += _voided(request)
    end = mrkdwn.date(request.expires_at)
    if request.state is State.AWAITING:
        missing = f"*Approvals missing* {request.approvals_missing}; the request ends {end}"
        if request.approvals_missing == 0:
            # All approvals were given, or none was needed, before the policy forbade it.
            missing = (
                "*Cannot be carried out now* The outcome below says why. Once that is changed, "
                f"one approval is enough, until {end}."
            )
        lines += [missing, f"*May approve* {who}"]
    return "\n".join(lines)


def _voided(request: Request) -> list[str]:
    voided = mrkdwn.join(map(mrkdwn.person, request.voided))
    return [f"*Does not count any more* the approval of {voided}"] if voided else []


def _quarantine(request: Request, who: str, mode: Mode, job: Job) -> list[str]:
    """Say what becomes of a quarantined download, and who decides."""
    lines = []
    by = job.started_by
    any_may_keep = by.knowledge is StarterStatus.NOT_KNOWN
    not_certain = WAS_NOT_CERTAIN if request.state.ended else NOT_CERTAIN
    uncertain = [not_certain] if by.starter and not by.is_certain else []
    if request.state is State.QUARANTINED:
        but = "" if any_may_keep else ", but not the person who started it"
        lines = [what_follows(request, mode), f"*May keep it* {who}{but}", *uncertain]
    elif approved := mrkdwn.approved_by(request):
        lines = [f"*Decided to cancel it now* {approved}"]
    elif request.state in RUN and job.answer is not StarterAnswer.NOT_MINE:
        lines = [f"*Why* {NOT_KEPT}", *uncertain]
    if (late := mrkdwn.may_still_end(request)) and not job.ended:
        lines.append(f":warning:{late}")
    if any_may_keep and request.state in KEEPABLE:
        lines.append(STARTER_MAY_KEEP)
    return ["\n".join([*lines, *_voided(request)])]


def shown_mode(policy: Policy) -> Mode:
    """Return how a quarantine is shown: `OFF` where nothing can be cancelled at all.

    One that was switched off since ends as one that observes, and people can still cancel.
    """
    if policy.read_only:
        return Mode.OFF
    return Mode.OBSERVE if policy.quarantine is Mode.OFF else policy.quarantine


def what_follows(request: Request, mode: Mode) -> str:
    """Say when the bot cancels a quarantined download, or would."""
    if request.grace_ends_at:
        when = mrkdwn.date(request.grace_ends_at, seconds=True)
    else:
        grace = mrkdwn.duration(request.expires_at - request.created_at)
        when = f"{grace} after this message"
    if request.outcome.tries_again:
        tries = f"The bot tries again {when}"
        return f":warning: *Not cancelled yet* {tries}, unless an approver keeps the download"
    if mode is Mode.ENFORCE:
        return f":rotating_light: *Will be cancelled* {when}, unless an approver keeps it"
    return f"*Would be cancelled* {when}, unless an approver keeps it; the bot only observes"


def _outcome(request: Request) -> str:
    outcome = request.outcome
    if not (outcome.by or outcome.sentence):
        return ""
    by = f" by {mrkdwn.person(outcome.by)}" if outcome.by else ""
    sentence = f"\n{mrkdwn.quote(outcome.sentence)}" if outcome.sentence else ""
    answer = mrkdwn.atlas_answer(outcome.status, outcome.code)
    return f"*Outcome*{by}, {mrkdwn.date(request.changed_at)}{sentence}{answer}"


def _footer(request: Request, links: Links) -> str:
    parts = [
        mrkdwn.link(links.cluster_page(request.ref), "Open in Atlas"),
        f"Request {mrkdwn.code(request.id)}",
        f"Changed {mrkdwn.date(request.changed_at)}",
    ]
    if request.moved_because:
        parts.append(f"Why this card is here: {mrkdwn.escape(request.moved_because, 500)}")
    return " · ".join(parts)


def _buttons(request: Request, mode: Mode, *, is_over: bool) -> list[Block]:
    review = [review_button(request)] if request.unreviewed else []
    match request.state:
        case State.QUARANTINED:
            return quarantine_buttons(request, mode)
        case State.AWAITING:
            return [*approver_buttons(request), _withdraw(request), *review]
        case State.FAILED if not is_over:
            return [_retry(request), *review]
        case State.OBSERVED if mode is not Mode.OFF and not is_over:
            return [job_lines.open_button(request.ref)]
    return review


def quarantine_buttons(request: Request, mode: Mode) -> list[Block]:
    """Build the buttons of an approver of a quarantined download."""
    # Without a confirmation: the dialog that asks for the reason is one.
    keep = blockkit.button("Keep it", ids.KEEP, request.id, style="primary")
    if mode is Mode.OFF:
        return [keep]
    label = "Cancel it now"
    text = f"The bot asks Atlas to cancel {_plain(request)}. This cannot be undone."
    confirm = blockkit.confirm(f"{label}?", text, label, style="danger")
    cancel = blockkit.button(label, ids.APPROVE, request.id, style="danger", confirm=confirm)
    return [keep, cancel]


def review_button(request: Request) -> Block:
    # Without a confirmation: it changes nothing at Atlas.
    return blockkit.button(MARK, ids.REVIEW, request.id, style="primary")


def approver_buttons(request: Request) -> list[Block]:
    """Build the buttons of an approver, for the card and the Home tab."""
    text = (
        f"With the last approval the bot asks Atlas to cancel {_plain(request)}. "
        "This cannot be undone."
    )
    confirm = blockkit.confirm("Cancel this download?", text, APPROVE)
    return [
        blockkit.button(APPROVE, ids.APPROVE, request.id, style="primary", confirm=confirm),
        # Without a confirmation: the dialog that asks for the reason is one. Without a colour: red
        # buttons cancel.
        blockkit.button(DENY, ids.DENY, request.id),
    ]


def _plain(request: Request) -> str:
    """Name the download in plain text."""
    return f"download {request.ref.job_id} of {request.ref.cluster_name}"


def _withdraw(request: Request) -> Block:
    text = "The request ends, and the bot cancels nothing."
    confirm = blockkit.confirm("Withdraw this request?", text, "Withdraw", style="danger")
    return blockkit.button("Withdraw", ids.WITHDRAW, request.id, confirm=confirm)


def _retry(request: Request) -> Block:
    text = "The bot reads the download again, and asks Atlas to cancel it if it is still the same."
    if request.approvals_needed:
        text += " Approvals count until the approval time is over: then it waits for new ones."
    elif request.runs_alone:
        text += " Only the person who acted alone can do so again; for others it needs approvals."
    confirm = blockkit.confirm("Try again?", text, "Try again")
    return blockkit.button("Try again", ids.RETRY, request.id, confirm=confirm)


def second_copy(request: Request, links: Links) -> dict[str, Any]:
    """Build what replaces the second copy of a card: a link to the first."""
    card = mrkdwn.link(links.card_of(request), "the other one")
    text = labelled(f"This card was posted twice. The card of the request is {card}.")
    return blockkit.message(text) | {"metadata": metadata(request, request.state)}
