"""Replies in the card's thread: one a step, the outcome last, mentioning the requester."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import State
from bot.slack import blockkit, mrkdwn
from bot.slack.card.views import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bot.cancellation.lifecycle import Request
    from bot.cancellation.posts import Post

    Teller = Callable[[Post], str]


def message(post: Post) -> dict[str, Any]:
    """Render one step.

    Returns:
        `text` and `blocks`, and `metadata` on outcomes, as chat.postMessage takes them.
    """
    said = blockkit.cut(TELLERS.get(post.event, _anything)(post), blockkit.TEXT)
    built: dict[str, Any] = {
        "text": blockkit.cut(said, blockkit.FALLBACK),
        "blocks": [blockkit.section(said)],
    }
    state = outcome_of(post.event)
    return built | ({"metadata": metadata(post.request, state)} if state else {})


def outcome_of(event: EventName) -> State | None:
    """Return the state in which `event` ends a request, or None when it does not."""
    word = str(event).partition(":")[2]
    return next((state for state in State if state == word and state.ended), None)


def _sentence(post: Post) -> str:
    """Quote what the domain says about this very step, not about a later one."""
    said = str(post.detail.get("sentence") or "")
    terms = mrkdwn.answer_of_atlas(post.detail.get("status"), post.detail.get("code"))
    return f"\n{mrkdwn.quote(said)}{terms}" if said else ""


def _to(request: Request) -> str:
    return mrkdwn.person(request.requester)


def _approval(post: Post) -> str:
    missing = post.request.approvals_needed - _count_until(post)
    needed = f"{missing} more needed." if missing > 0 else "That is enough."
    return f":ballot_box_with_check: {mrkdwn.person(post.actor)} approved. {needed}"


def _count_until(post: Post) -> int:
    """Count the approvals as they were when this one was given."""
    return sum(approval.at <= post.at for approval in post.request.approvals)


def _approved(post: Post) -> str:
    return (
        f":ballot_box_with_check: {mrkdwn.person(post.actor)} approved. That is enough: "
        "the bot now asks Atlas to cancel the job."
    )


def _retried(post: Post) -> str:
    return f":repeat: {mrkdwn.person(post.actor)} wants it tried again."


def _cancelled(post: Post) -> str:
    request = post.request
    said = f":white_check_mark: {_to(request)}: {mrkdwn.summary(request)} is cancelled. "
    approved = mrkdwn.approved_by(request)
    who = f"Approved by {approved}. " if approved else ""
    live = f" {LINK_WAS_LIVE}" if request.shown.link_is_live else ""
    return f"{said}{who}Atlas confirms it.{live}"


def _with(headline: str, advice: str = "", *, ran: bool = False) -> Teller:
    """Build a teller: a headline for the requester, what the domain says, advice.

    Args:
        headline: with places for `to`, `job` and `by`.
        advice: what to do now.
        ran: whether it was carried out; if not, whoever had approved did so in vain.
    """

    def tell(post: Post) -> str:
        approved = mrkdwn.approved_by(post.request)
        who = f" Approved {'by' if ran else 'before by'} {approved}." if approved else ""
        end = f"\n{advice}" if advice else ""
        by = f" by {mrkdwn.person(post.actor)}" if post.actor else ""
        said = headline.format(to=_to(post.request), job=mrkdwn.summary(post.request), by=by)
        return f"{said}{who}{_sentence(post)}{end}"

    return tell


def _anything(post: Post) -> str:
    return f"{_to(post.request)}: {mrkdwn.what_happened(post.request)}"


LINK_WAS_LIVE = "Its download link had been live, so somebody may have the data already."

AGAIN = "To ask anew, type `/cancel-restore`."

TELLERS: Mapping[EventName, Teller] = {
    EventName.APPROVAL_GIVEN: _approval,
    EventName.APPROVED: _approved,
    EventName.RETRIED: _retried,
    EventName.CANCELLED: _cancelled,
    EventName.DENIED: _with(":no_entry_sign: {to}: denied{by}. Nothing was done to {job}."),
    EventName.WITHDRAWN: _with(":no_entry_sign: {to}: withdrawn{by}. Nothing was done to {job}."),
    EventName.EXPIRED: _with(
        ":alarm_clock: {to}: not approved in time. Nothing was done to {job}.", AGAIN
    ),
    EventName.OVER: _with(":information_source: {to}: {job} had ended already.", ran=True),
    EventName.REFUSED: _with(":no_entry: {to}: Atlas refused to cancel {job}.", ran=True),
    EventName.CHANGED: _with(
        ":warning: {to}: {job} is not what it was when you asked, so nothing was done.",
        AGAIN,
        ran=True,
    ),
    EventName.FAILED: _with(
        ":x: {to}: the bot could not finish with {job}.",
        "Look at the job in Atlas, then use *Try again* on the card.",
        ran=True,
    ),
}
