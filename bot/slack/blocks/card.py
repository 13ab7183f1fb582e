"""The card: one message a request, drawn anew whenever the request changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.cancellation.lifecycle import State
from bot.slack import names
from bot.slack.blocks import job, kit, text

if TYPE_CHECKING:
    from bot.cancellation.lifecycle import Request
    from bot.cancellation.policy import People
    from bot.slack.blocks.kit import Block
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
    return {"event_type": names.METADATA, "event_payload": payload}


def fallback(request: Request) -> str:
    """Say in one line what notifications and screen readers get."""
    state = text.STATES[request.state]
    asked = f"{text.person(request.requester)} asks to cancel {text.summary(request)}"
    return kit.cut(f"{state} - {asked}", kit.FALLBACK)


def blocks(request: Request, approvers: People | None, links: Links) -> list[Block]:
    parts = [
        kit.section(f"*{text.STATES[request.state]}*"),
        kit.fields(_facts(request)),
        kit.section(_asked(request)),
        *_approvals(request, approvers),
        *_outcome(request),
        kit.context(_small_print(request, links)),
    ]
    buttons = _buttons(request)
    return [*parts, kit.actions(*buttons)] if buttons else parts


def _facts(request: Request) -> list[tuple[str, str]]:
    return [
        ("Project", text.line(request.project_name) or "-"),
        ("Cluster", text.code(request.ref.cluster_name)),
        ("Restore job", text.code(request.ref.job_id)),
        *job.facts(request.shown, "Download link when asked"),
    ]


def _asked(request: Request) -> str:
    who = f"*Asked by* {text.person(request.requester)}, {text.when(request.created_at)}"
    return f"{who}\n{text.quote(request.reason)}" if request.reason.strip() else who


def _approvals(request: Request, approvers: People | None) -> list[Block]:
    if request.approvals_needed == 0:
        return []
    given = text.approved_by(request) or "nobody yet"
    lines = [f"*Approved by* {given} ({len(request.approvals)} of {request.approvals_needed})"]
    if request.state is State.AWAITING:
        lines += _wanted(request, approvers)
    return [kit.section("\n".join(lines))]


def _wanted(request: Request, approvers: People | None) -> list[str]:
    who = text.people(approvers) if approvers else "nobody: the project was removed"
    return [
        f"*Approvals missing* {request.approvals_missing}, until {text.when(request.expires_at)}",
        f"*May approve* {who}",
    ]


def _outcome(request: Request) -> list[Block]:
    outcome = request.outcome
    if not (outcome.by or outcome.sentence):
        return []
    by = f" by {text.person(outcome.by)}" if outcome.by else ""
    said = f"\n{text.quote(outcome.sentence)}" if outcome.sentence else ""
    terms = text.answer_of_atlas(outcome.status, outcome.code)
    return [kit.section(f"*Outcome*{by}, {text.when(request.changed_at)}{said}{terms}")]


def _small_print(request: Request, links: Links) -> str:
    parts = [
        text.link(links.cluster_page(request.ref), "Open in Atlas"),
        f"Request {text.code(request.id)}",
        f"Changed {text.when(request.changed_at)}",
    ]
    if request.moved_because:
        parts.append(text.escape(request.moved_because, 500))
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
    question = kit.confirm("Approve this?", asks, "Approve")
    return kit.button("Approve", names.APPROVE, request.id, style="primary", confirm=question)


def _deny(request: Request) -> Block:
    # No question before it: the dialog that asks for the reason is one.
    return kit.button("Deny", names.DENY, request.id, style="danger")


def _withdraw(request: Request) -> Block:
    asks = "The request ends, and nothing is done to the restore job."
    question = kit.confirm("Withdraw this?", asks, "Withdraw", style="danger")
    return kit.button("Withdraw", names.WITHDRAW, request.id, confirm=question)


def _retry(request: Request) -> Block:
    asks = "The bot reads the job again and asks Atlas to cancel it, if it is still the same."
    question = kit.confirm("Try again?", asks, "Try again")
    return kit.button("Try again", names.RETRY, request.id, confirm=question)


def second_copy(request: Request, links: Links) -> dict[str, Any]:
    """Render what replaces a card that was posted twice: a pointer to the one that is kept."""
    there = text.link(links.card_of(request), "the other one")
    said = f"This card was posted twice. The record of the request is {there}."
    return {
        "text": said,
        "blocks": [kit.section(said)],
        "metadata": metadata(request, request.state),
    }
