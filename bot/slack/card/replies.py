"""Builds the replies in a card's thread: one for each step, and the outcome last."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bot.atlas import JobState
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.cancellation.posts import RequestPost
from bot.cancellation.quarantine import NOT_KEPT
from bot.slack import blockkit, job_facts, mrkdwn
from bot.slack.card import quarantine
from bot.slack.card.views import metadata, people
from bot.slack.client import Links
from bot.slack.deployment import command_code, labelled

Render = Callable[[RequestPost], str]


def names_people(post: RequestPost) -> bool:
    """Whether a reply names people of the current policy."""
    return post.event in CALLS or (post.request.by_bot and post.event is EventName.CANCELLED)


def called_by(post: RequestPost, policy: Policy) -> People | None:
    """Return the people whom a reply mentions because they are to act, or None."""
    match post.event:
        case EventName.ACTED_ALONE:
            return policy.first_approvers
        case EventName.REMINDED:
            return policy.first_approvers - People(users=post.request.approved_by)
        case EventName.ESCALATED:
            return policy.escalate_to
        case EventName.CANCELLED if post.request.by_bot:
            return policy.approvers
    return None


def message(post: RequestPost, called: People | None = None) -> dict[str, Any]:
    """Build `text` and `blocks`, and `metadata` on outcomes, for chat.postMessage.

    `called` are the people of `called_by`; None also if the project was removed.
    """
    call = f"\n{CALLS[post.event](called)}" if post.event in CALLS else ""
    if post.request.by_bot and post.event is EventName.CANCELLED:
        call = f"\n{quarantine.ADVICE.format(who=people(called))}"
    built = _content(f"{RENDERERS.get(post.event, _status)(post)}{call}")
    state = outcome_of(post.event)
    return built | ({"metadata": metadata(post.request, state)} if state else {})


def direct_message(post: RequestPost, links: Links) -> dict[str, Any]:
    """Build the direct message to an approver about a request that needed no approval."""
    reason = mrkdwn.quote(post.request.reason)
    card = mrkdwn.link(links.card_of(post.request), "its card")
    return _content(
        f"{labelled(_acted_alone(post))}\n{reason}\nRead {card}, and click *Reviewed* there."
    )


def _content(text: str) -> dict[str, Any]:
    text = blockkit.cut(text, blockkit.TEXT)
    return {"text": blockkit.cut(text, blockkit.FALLBACK), "blocks": [blockkit.section(text)]}


def outcome_of(event: EventName) -> State | None:
    """Return the state in which `event` ends a request, or None if it does not."""
    name = str(event).partition(":")[2]
    return next((state for state in State if state == name and state.ended), None)


def _sentence(post: RequestPost) -> str:
    """Quote the explanation of this event."""
    sentence = str(post.detail.get("sentence") or "")
    answer = mrkdwn.atlas_answer(post.detail.get("status"), post.detail.get("code"))
    return f"\n{mrkdwn.quote(sentence)}{answer}" if sentence else ""


def _requester(request: Request) -> str:
    return "Quarantine" if request.by_bot else mrkdwn.person(request.requester)


def _acted_alone(post: RequestPost) -> str:
    asked = f"asked to cancel {mrkdwn.summary(post.request)} without approval"
    return f":rotating_light: {_requester(post.request)} acted alone: {asked}."


def _call_for_review(called: People | None) -> str:
    who = people(called)
    return f"Could have approved: {who}. One of them reviews this with *Reviewed* on the card."


def _call_for_decision(called: People | None) -> str:
    return f"May approve: {people(called)}. *Approve* and *Deny* are on the card."


def _notified(post: RequestPost) -> str:
    """Name who was reached, without mentions, which would notify them once more."""
    names = [mrkdwn.one_line(str(name), 80) for name in post.detail.get("names", [])]
    if not names:
        return ":warning: No approver could be reached by a direct message. Please ask them."
    return f":incoming_envelope: Got this request as a direct message: {mrkdwn.join(names)}."


def _reminded(post: RequestPost) -> str:
    job = mrkdwn.summary(post.request)
    end = mrkdwn.date(post.request.expires_at)
    return f":bell: Reminder: the request to cancel {job} waits for approval, until {end}."


def _escalated(post: RequestPost) -> str:
    job = mrkdwn.summary(post.request)
    return f":rotating_light: Escalated: the request to cancel {job} waits for approval."


def _reviewed(post: RequestPost) -> str:
    who = mrkdwn.person(post.actor)
    return f":ballot_box_with_check: {who} reviewed what was done without approval."


def _approval(post: RequestPost) -> str:
    missing = post.request.approvals_needed - _approvals_at(post)
    needed = f"{missing} more needed." if missing > 0 else "That is enough."
    return f":ballot_box_with_check: {mrkdwn.person(post.actor)} approved. {needed}"


def _approvals_at(post: RequestPost) -> int:
    """Count the approvals at the time of this one."""
    return sum(approval.at <= post.at for approval in post.request.approvals)


def _approved(post: RequestPost) -> str:
    if post.request.by_bot:
        why = f"{mrkdwn.person(post.actor)} cancels it now" if post.actor else NOT_KEPT
        return f":arrow_forward: {why.rstrip('.')}: the bot now asks Atlas to cancel the job."
    return (
        f":ballot_box_with_check: {mrkdwn.person(post.actor)} approved. That is enough: "
        "the bot now asks Atlas to cancel the job."
    )


def _voided(post: RequestPost) -> str:
    who = mrkdwn.person(str(post.detail.get("user") or ""))
    return f":warning: The approval of {who} counts no longer: {who} may not approve any more."


def _raised(post: RequestPost) -> str:
    needed = post.detail.get("approvals_needed")
    return f":warning: The policy requires {needed} approval(s) by now."


def _waits_again(post: RequestPost) -> str:
    missing = post.request.approvals_missing
    waits = f"The request waits. {missing} more approval(s) needed." if missing else LOST_RIGHT
    job = mrkdwn.summary(post.request)
    return f":hourglass_flowing_sand: {job} was not cancelled.{_sentence(post)}\n{waits}"


def _retried(post: RequestPost) -> str:
    needed = post.detail.get("approvals_needed")
    again = f" It needs {needed} approval(s) again." if needed else ""
    return f":repeat: {mrkdwn.person(post.actor)} started another try.{again}"


def _cancelled(post: RequestPost) -> str:
    request = post.request
    text = f":white_check_mark: {_requester(request)}: {mrkdwn.summary(request)} is cancelled. "
    approved = mrkdwn.approved_by(request)
    who = f"Approved by {approved}. " if approved else ""
    was_live = request.shown.link_is_live or "link_live_since" in post.detail
    live = f" {LINK_WAS_LIVE}" if was_live else ""
    return f"{text}{who}Atlas confirms it.{live}"


def _outcome(headline: str, advice: str = "", *, ran: bool = False) -> Render:
    """Create a renderer from a format with `to`, `job` and `by`, and the advice what to do next.

    `ran` is whether the request was executed after the approvals.
    """

    def render(post: RequestPost) -> str:
        approved = mrkdwn.approved_by(post.request)
        who = f" Approved {'by' if ran else 'before by'} {approved}." if approved else ""
        end = f"\n{advice.format(command=command_code())}" if advice else ""
        by = f" by {mrkdwn.person(post.actor)}" if post.actor else ""
        text = headline.format(to=_requester(post.request), job=mrkdwn.summary(post.request), by=by)
        return f"{text}{who}{_sentence(post)}{end}"

    return render


def _status(post: RequestPost) -> str:
    return f"{_requester(post.request)}: {mrkdwn.request_status(post.request)}"


def _link_live(post: RequestPost) -> str:
    job = mrkdwn.summary(post.request)
    since = _moment(post, "live_since")
    return (
        f":warning: The download link of {job} is live{since}. "
        "From now on the copy may have been taken; a cancellation ends the link."
    )


def _job_ended(post: RequestPost) -> str:
    state = post.detail.get("state")
    how = job_facts.ending(JobState(state) if state else None)
    return (
        f":information_source: {mrkdwn.summary(post.request)} has {how}: there is nothing left "
        "to cancel. The request can be withdrawn."
    )


def _moment(post: RequestPost, name: str) -> str:
    value = post.detail.get(name)
    return f" since {mrkdwn.date(datetime.fromisoformat(value), seconds=True)}" if value else ""


LINK_WAS_LIVE = "Its download link had been live, so the data may have been downloaded already."

LOST_RIGHT = (
    "The request waits: if the person who asked gets the right back, one approval lets it run."
)

BY_REQUESTER = _outcome(":no_entry_sign: {to} withdrew the request. Nothing was done to {job}.")
BY_QUARANTINE = _outcome(":inbox_tray: {to}: the bot's own request takes the place of this one.")


def _withdrawn(post: RequestPost) -> str:
    return (BY_REQUESTER if post.actor else BY_QUARANTINE)(post)


ASK_AGAIN = "To ask again, type {command}."

#: The events whose replies call people to act.
CALLS: Mapping[EventName, Callable[[People | None], str]] = {
    EventName.ACTED_ALONE: _call_for_review,
    EventName.REMINDED: _call_for_decision,
    EventName.ESCALATED: _call_for_decision,
}
KEEP_AGAIN = (
    ":warning: The approver may not approve any more, so the download is in quarantine again."
)

RENDERERS: Mapping[EventName, Render] = {
    EventName.ACTED_ALONE: _acted_alone,
    EventName.REVIEWED: _reviewed,
    EventName.NOTIFIED: _notified,
    EventName.REMINDED: _reminded,
    EventName.ESCALATED: _escalated,
    EventName.QUARANTINED: lambda _post: KEEP_AGAIN,
    EventName.KEPT: _outcome(":unlock: {job} is kept{by}: it goes on."),
    EventName.OBSERVED: _outcome(":eyes: {job} goes on."),
    EventName.APPROVAL_GIVEN: _approval,
    EventName.APPROVED: _approved,
    EventName.APPROVAL_VOIDED: _voided,
    EventName.APPROVALS_RAISED: _raised,
    EventName.AWAITING: _waits_again,
    EventName.RETRIED: _retried,
    EventName.LINK_LIVE: _link_live,
    EventName.JOB_ENDED: _job_ended,
    EventName.CHECK_FAILED: _outcome(
        ":warning: {to}: nothing was sent for {job}.",
        "The bot keeps trying, until the job has ended.",
        ran=True,
    ),
    EventName.CANCELLED: _cancelled,
    EventName.DENIED: _outcome(":no_entry_sign: {to}: denied{by}. Nothing was done to {job}."),
    EventName.WITHDRAWN: _withdrawn,
    EventName.EXPIRED: _outcome(
        ":alarm_clock: {to}: not approved in time. Nothing was done to {job}.", ASK_AGAIN
    ),
    EventName.OVER: _outcome(":information_source: {to}: {job} is over.", ran=True),
    EventName.REFUSED: _outcome(":no_entry: {to}: Atlas refused to cancel {job}.", ran=True),
    EventName.CHANGED: _outcome(
        ":warning: {to}: {job} is not what it was when you asked, so nothing was done.",
        ASK_AGAIN,
        ran=True,
    ),
    EventName.FAILED: _outcome(
        ":x: {to}: the bot could not finish with {job}.",
        "Look at the job in Atlas, then use *Try again* on the card.",
        ran=True,
    ),
}
