"""Builds the card of a request, which is updated at every change of its state."""

from typing import Any

from bot.cancellation.events import EventName
from bot.cancellation.job_facts import JobFacts
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import People
from bot.cancellation.quarantine import Mode
from bot.redaction import REMOVED
from bot.slack import blockkit, ids, job_facts, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.card import quarantine
from bot.slack.client import Links
from bot.slack.deployment import labelled

PART_REMOVED = (
    f"_{REMOVED} was a link or a secret. It is not kept; change it if others may have seen it._"
)


def message(
    request: Request,
    approvers: People | None,
    links: Links,
    facts: JobFacts | None = None,
    mode: Mode = Mode.ENFORCE,
) -> dict[str, Any]:
    """Build `text`, `blocks` and `metadata`, for chat.postMessage and chat.update.

    `approvers` is None if the project was removed; `mode` is that of its quarantine.
    """
    return {
        "text": fallback(request),
        "blocks": blocks(request, approvers, links, facts, mode),
        "metadata": metadata(request, request.state),
    }


#: How a later copy begins, by the event that it follows.
COPY_HEADINGS = {
    EventName.REMINDED: ":bell: *Reminder*",
    EventName.ESCALATED: ":rotating_light: *Escalated to you*",
}


def copy(
    card: dict[str, Any], request: Request, links: Links, heading: str | None = None
) -> dict[str, Any]:
    """Build the copy of a card for an approver: it refers to the thread, which is the record."""
    url = links.card_of(request)
    thread = f"The record is {mrkdwn.link(url, 'in the thread of the card')}."
    return card | {
        "blocks": [
            *([blockkit.section(heading)] if heading else []),
            *card["blocks"],
            *([blockkit.context(thread)] if url else []),
        ]
    }


def metadata(request: Request, state: State) -> dict[str, Any]:
    """Build the metadata by which programs recognise a card and an outcome."""
    payload = {"request": request.id, "state": str(state)}
    return {"event_type": ids.METADATA, "event_payload": payload}


def fallback(request: Request) -> str:
    """Build the text for notifications and screen readers."""
    state = mrkdwn.STATE_LABELS[request.state]
    if request.by_bot:
        return blockkit.cut(labelled(f"{state} - {mrkdwn.summary(request)}"), blockkit.FALLBACK)
    asked = f"{mrkdwn.person(request.requester)} asks to cancel {mrkdwn.summary(request)}"
    asked += " without approval" if request.acted_alone else ""
    return blockkit.cut(labelled(f"{state} - {asked}"), blockkit.FALLBACK)


def blocks(
    request: Request,
    approvers: People | None,
    links: Links,
    facts: JobFacts | None = None,
    mode: Mode = Mode.ENFORCE,
) -> list[Block]:
    """Build the card: what decides comes first, the ids last."""
    label = mrkdwn.STATE_LABELS[request.state]
    headline = job_facts.headline(label, request.ref, request.project_name)
    buttons = _buttons(request, mode)
    if buttons:
        buttons += job_facts.feed_buttons(facts)
    return [
        blockkit.section("\n".join([headline, *job_facts.card_lines(request, facts)])),
        *(
            quarantine.parts(request, people(approvers), mode)
            if request.by_bot
            else _asked(request, approvers)
        ),
        *_outcome(request),
        *([blockkit.actions(*buttons)] if buttons else []),
        blockkit.fields(_details(request)),
        blockkit.context(_footer(request, links)),
    ]


def _asked(request: Request, approvers: People | None) -> list[Block]:
    """Show who asked, and whose approvals are given or missing."""
    return [
        blockkit.section(_requester(request)),
        *_without_approval(request, approvers),
        *_approvals(request, approvers),
    ]


def _details(request: Request) -> list[tuple[str, str]]:
    return [
        *mrkdwn.job_facts(
            request.shown,
            request.ref,
            request.project_name,
            link_label="Download link when asked",
        ),
        ("Restore job", mrkdwn.code(request.ref.job_id)),
    ]


def _requester(request: Request) -> str:
    who = f"*Asked by* {mrkdwn.person(request.requester)}, {mrkdwn.date(request.created_at)}"
    removed = f"\n{PART_REMOVED}" if REMOVED in request.reason else ""
    return f"{who}\n{mrkdwn.quote(request.reason)}{removed}" if request.reason.strip() else who


def _without_approval(request: Request, approvers: People | None) -> list[Block]:
    """Show that the requester acted alone, and who reviewed it or may do so."""
    if not request.acted_alone:
        return []
    if request.reviewed_by and request.reviewed_at:
        review = f"Reviewed by* {mrkdwn.person(request.reviewed_by)}, "
        review += mrkdwn.date(request.reviewed_at)
    else:
        review = f"To be reviewed by one of* {people(approvers)}"
    who = mrkdwn.person(request.requester)
    return [blockkit.section(f":rotating_light: *Without approval* {who} acted alone\n*{review}")]


def people(approvers: People | None) -> str:
    return mrkdwn.people(approvers) if approvers else "nobody: the project was removed"


def _approvals(request: Request, approvers: People | None) -> list[Block]:
    lines = []
    if request.approvals_needed:
        given = mrkdwn.approved_by(request) or "nobody yet"
        lines = [f"*Approved by* {given} ({len(request.approvals)} of {request.approvals_needed})"]
    if request.voided:
        lines.append(f"*Counts no longer* {mrkdwn.join(map(mrkdwn.person, request.voided))}")
    if request.state is State.AWAITING:
        lines += _missing(request, approvers)
    return [blockkit.section("\n".join(lines))] if lines else []


def _missing(request: Request, approvers: People | None) -> list[str]:
    end = mrkdwn.date(request.expires_at)
    missing = f"*Approvals missing* {request.approvals_missing}, until {end}"
    if request.approvals_missing == 0:
        # All approvals were given, or none was needed, before the policy forbade it.
        missing = (
            f"*Cannot run* while {mrkdwn.person(request.requester)} may not ask for this, or the "
            f"bot only watches. If that changes by {end}, one approval lets it run."
        )
    return [missing, f"*May approve* {people(approvers)}"]


def _outcome(request: Request) -> list[Block]:
    outcome = request.outcome
    if not (outcome.by or outcome.sentence):
        return []
    by = f" by {mrkdwn.person(outcome.by)}" if outcome.by else ""
    sentence = f"\n{mrkdwn.quote(outcome.sentence)}" if outcome.sentence else ""
    answer = mrkdwn.atlas_answer(outcome.status, outcome.code)
    when = mrkdwn.date(request.changed_at)
    return [blockkit.section(f"*Outcome*{by}, {when}{sentence}{answer}")]


def _footer(request: Request, links: Links) -> str:
    parts = [
        mrkdwn.link(links.cluster_page(request.ref), "Open in Atlas"),
        f"Request {mrkdwn.code(request.id)}",
        f"Changed {mrkdwn.date(request.changed_at)}",
    ]
    if request.moved_because:
        parts.append(mrkdwn.escape(request.moved_because, 500))
    return " · ".join(parts)


def _buttons(request: Request, mode: Mode) -> list[Block]:
    if request.state is State.QUARANTINED:
        return quarantine.buttons(request, mode)
    review = [review_button(request)] if request.unreviewed else []
    if request.state is State.AWAITING:
        return [_approve(request), _deny(request), _withdraw(request), *review]
    return [_retry(request), *review] if request.state is State.FAILED else review


def approver_buttons(request: Request) -> list[Block]:
    """Build the buttons of an approver, for the Home tab."""
    return [_approve(request), _deny(request)]


def review_button(request: Request) -> Block:
    # Without a confirmation: it changes nothing at Atlas.
    return blockkit.button("Reviewed", ids.REVIEW, request.id, style="primary")


def _approve(request: Request) -> Block:
    ref = request.ref
    text = (
        f"With the last approval the bot asks Atlas to cancel restore job {ref.job_id} of "
        f"{ref.cluster_name}. This cannot be undone."
    )
    confirm = blockkit.confirm("Approve this?", text, "Approve")
    return blockkit.button("Approve", ids.APPROVE, request.id, style="primary", confirm=confirm)


def _deny(request: Request) -> Block:
    # Without a confirmation: the dialog that asks for the reason is one.
    return blockkit.button("Deny", ids.DENY, request.id, style="danger")


def _withdraw(request: Request) -> Block:
    text = "The request ends, and nothing is done to the restore job."
    confirm = blockkit.confirm("Withdraw this?", text, "Withdraw", style="danger")
    return blockkit.button("Withdraw", ids.WITHDRAW, request.id, confirm=confirm)


def _retry(request: Request) -> Block:
    text = "The bot reads the job again and asks Atlas to cancel it, if it is still the same."
    if request.approvals_needed:
        text += " The request waits for its approvals again."
    elif request.runs_alone:
        text += " Only the person who acted alone can do so again; for others it needs approvals."
    confirm = blockkit.confirm("Try again?", text, "Try again")
    return blockkit.button("Try again", ids.RETRY, request.id, confirm=confirm)


def second_copy(request: Request, links: Links) -> dict[str, Any]:
    """Build what replaces the second copy of a card: a link to the first."""
    card = mrkdwn.link(links.card_of(request), "the other one")
    text = labelled(f"This card was posted twice. The record of the request is {card}.")
    return {
        "text": text,
        "blocks": [blockkit.section(text)],
        "metadata": metadata(request, request.state),
    }
