"""The card: one message a request, drawn anew whenever the request changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.cancellation.lifecycle import State
from bot.slack import blockkit, ids, job_facts, mrkdwn

if TYPE_CHECKING:
    from bot.cancellation.lifecycle import Request
    from bot.cancellation.policy import People
    from bot.slack.blockkit import Block
    from bot.slack.links import Links


def message(request: Request, approvers: People | None, links: Links) -> dict[str, Any]:
    """Render a request as it is now.

    Args:
        request: the request.
        approvers: who may approve, or None when the project is not known any more.
        links: where the card's links lead.

    Returns:
        `text`, `blocks` and `metadata`, as chat.postMessage and chat.update take them.
    """
    return {
        "text": fallback(request),
        "blocks": blocks(request, approvers, links),
        "metadata": metadata(request, request.state),
    }


def metadata(request: Request, state: State) -> dict[str, Any]:
    """Mark a message as ours, for programs."""
    payload = {"request": request.id, "state": str(state)}
    return {"event_type": ids.METADATA, "event_payload": payload}


def fallback(request: Request) -> str:
    """Say in one line what notifications and screen readers get."""
    state = mrkdwn.STATES[request.state]
    asked = f"{mrkdwn.person(request.requester)} asks to cancel {mrkdwn.summary(request)}"
    return blockkit.cut(f"{state} - {asked}", blockkit.FALLBACK)


def blocks(request: Request, approvers: People | None, links: Links) -> list[Block]:
    parts = [
        blockkit.section(f"*{mrkdwn.STATES[request.state]}*"),
        blockkit.fields(_facts(request)),
        blockkit.section(_asked(request)),
        *_approvals(request, approvers),
        *_outcome(request),
        blockkit.context(_small_print(request, links)),
    ]
    buttons = _buttons(request)
    return [*parts, blockkit.actions(*buttons)] if buttons else parts


def _facts(request: Request) -> list[tuple[str, str]]:
    return [
        ("Project", mrkdwn.line(request.project_name) or "-"),
        ("Cluster", mrkdwn.code(request.ref.cluster_name)),
        ("Restore job", mrkdwn.code(request.ref.job_id)),
        *job_facts.facts(request.shown, "Download link when asked"),
    ]


def _asked(request: Request) -> str:
    who = f"*Asked by* {mrkdwn.person(request.requester)}, {mrkdwn.when(request.created_at)}"
    return f"{who}\n{mrkdwn.quote(request.reason)}" if request.reason.strip() else who


def _approvals(request: Request, approvers: People | None) -> list[Block]:
    if request.approvals_needed == 0:
        return []
    given = mrkdwn.approved_by(request) or "nobody yet"
    lines = [f"*Approved by* {given} ({len(request.approvals)} of {request.approvals_needed})"]
    if request.state is State.AWAITING:
        lines += _wanted(request, approvers)
    return [blockkit.section("\n".join(lines))]


def _wanted(request: Request, approvers: People | None) -> list[str]:
    who = mrkdwn.people(approvers) if approvers else "nobody: the project was removed"
    return [
        f"*Approvals missing* {request.approvals_missing}, until {mrkdwn.when(request.expires_at)}",
        f"*May approve* {who}",
    ]


def _outcome(request: Request) -> list[Block]:
    outcome = request.outcome
    if not (outcome.by or outcome.sentence):
        return []
    by = f" by {mrkdwn.person(outcome.by)}" if outcome.by else ""
    said = f"\n{mrkdwn.quote(outcome.sentence)}" if outcome.sentence else ""
    terms = mrkdwn.answer_of_atlas(outcome.status, outcome.code)
    return [blockkit.section(f"*Outcome*{by}, {mrkdwn.when(request.changed_at)}{said}{terms}")]


def _small_print(request: Request, links: Links) -> str:
    parts = [
        mrkdwn.link(links.cluster_page(request.ref), "Open in Atlas"),
        f"Request {mrkdwn.code(request.id)}",
        f"Changed {mrkdwn.when(request.changed_at)}",
    ]
    if request.moved_because:
        parts.append(mrkdwn.escape(request.moved_because, 500))
    return " · ".join(parts)


def _buttons(request: Request) -> list[Block]:
    if request.state is State.AWAITING:
        return [_approve(request), _deny(request), _withdraw(request)]
    if request.state is State.FAILED:
        return [_retry(request)]
    return []


def decisions(request: Request) -> list[Block]:
    """Build the buttons of somebody who may approve, for other places than the card."""
    return [_approve(request), _deny(request)]


def _approve(request: Request) -> Block:
    ref = request.ref
    asks = (
        f"With the last approval the bot asks Atlas to cancel restore job {ref.job_id} of "
        f"{ref.cluster_name}. That cannot be taken back."
    )
    question = blockkit.confirm("Approve this?", asks, "Approve")
    return blockkit.button("Approve", ids.APPROVE, request.id, style="primary", confirm=question)


def _deny(request: Request) -> Block:
    # No question before it: the dialog that asks for the reason is one.
    return blockkit.button("Deny", ids.DENY, request.id, style="danger")


def _withdraw(request: Request) -> Block:
    asks = "The request ends, and nothing is done to the restore job."
    question = blockkit.confirm("Withdraw this?", asks, "Withdraw", style="danger")
    return blockkit.button("Withdraw", ids.WITHDRAW, request.id, confirm=question)


def _retry(request: Request) -> Block:
    asks = "The bot reads the job again and asks Atlas to cancel it, if it is still the same."
    question = blockkit.confirm("Try again?", asks, "Try again")
    return blockkit.button("Try again", ids.RETRY, request.id, confirm=question)


def second_copy(request: Request, links: Links) -> dict[str, Any]:
    """Render what replaces a card that was posted twice: a pointer to the one that is kept."""
    there = mrkdwn.link(links.card_of(request), "the other one")
    said = f"This card was posted twice. The record of the request is {there}."
    return {
        "text": said,
        "blocks": [blockkit.section(said)],
        "metadata": metadata(request, request.state),
    }
