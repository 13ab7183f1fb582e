"""Builds the replies in a card's thread: one for each step, and the outcome last."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bot.atlas import JobState
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import State
from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.cancellation.posts import RequestPost
from bot.cancellation.quarantine import NOT_KEPT
from bot.slack import blockkit, job_facts, mrkdwn
from bot.slack.card.views import ADVICE, metadata, people
from bot.slack.client import Links
from bot.slack.deployment import command_code, labelled

Render = Callable[[RequestPost], str]

MAY_APPROVE = "May approve: {who}. *Approve* and *Deny* are on the card."

#: What a reply asks people to do, by its event; `who` are those of `called_by`.
CALLS: Mapping[EventName, str] = {
    EventName.ACTED_ALONE: (
        "Could have approved: {who}. One of them reviews this with *Reviewed* on the card."
    ),
    EventName.REMINDED: MAY_APPROVE,
    EventName.ESCALATED: MAY_APPROVE,
}


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
    renderer = RENDERERS.get(post.event, _status)
    text = _format(renderer, post) if isinstance(renderer, str) else renderer(post)
    call = CALLS.get(post.event, "")
    if post.request.by_bot and post.event is EventName.CANCELLED:
        call = ADVICE
    if call:
        text += f"\n{call.format(who=people(called))}"
    state = next((each for each in State if each.ended and post.event.endswith(f":{each}")), None)
    return _content(text) | ({"metadata": metadata(post.request, state)} if state else {})


def direct_message(post: RequestPost, links: Links) -> dict[str, Any]:
    """Build the direct message to an approver about a request that needed no approval."""
    reason = mrkdwn.quote(post.request.reason)
    card = mrkdwn.link(links.card_of(post.request), "its card")
    text = labelled(_format(ACTED_ALONE, post))
    return _content(f"{text}\n{reason}\nRead {card}, and click *Reviewed* there.")


def _content(text: str) -> dict[str, Any]:
    return {"text": blockkit.cut(text, blockkit.FALLBACK), "blocks": [blockkit.section(text)]}


def _format(template: str, post: RequestPost) -> str:
    """Fill in a template with what every reply may name."""
    request = post.request
    return template.format(
        actor=mrkdwn.person(post.actor),
        by=f" by {mrkdwn.person(post.actor)}" if post.actor else "",
        command=command_code(),
        job=mrkdwn.summary(request),
        needed=post.detail.get("approvals_needed"),
        to="Quarantine" if request.by_bot else mrkdwn.person(request.requester),
        until=mrkdwn.date(request.expires_at),
        user=mrkdwn.person(str(post.detail.get("user") or "")),
    )


def _outcome(headline: str, advice: str = "", *, ran: bool = False) -> Render:
    """Create a renderer from the templates of the headline and the advice what to do next.

    `ran` is whether the request was executed after the approvals.
    """

    def render(post: RequestPost) -> str:
        approved = mrkdwn.approved_by(post.request)
        who = f" Approved {'by' if ran else 'before by'} {approved}." if approved else ""
        end = f"\n{_format(advice, post)}" if advice else ""
        return f"{_format(headline, post)}{who}{_sentence(post)}{end}"

    return render


def _sentence(post: RequestPost) -> str:
    """Quote the explanation of this event."""
    sentence = str(post.detail.get("sentence") or "")
    answer = mrkdwn.atlas_answer(post.detail.get("status"), post.detail.get("code"))
    return f"\n{mrkdwn.quote(sentence)}{answer}" if sentence else ""


def _status(post: RequestPost) -> str:
    return f"{_format('{to}', post)}: {mrkdwn.request_status(post.request)}"


def _notified(post: RequestPost) -> str:
    """Name who was reached, without mentions, which would notify them once more."""
    names = [mrkdwn.one_line(str(name), 80) for name in post.detail.get("names", [])]
    if not names:
        return ":warning: No approver could be reached by a direct message. Please ask them."
    return f":incoming_envelope: Got this request as a direct message: {mrkdwn.join(names)}."


def _approval(post: RequestPost) -> str:
    request = post.request
    missing = request.approvals_needed - sum(each.at <= post.at for each in request.approvals)
    needed = f"{missing} more needed." if missing > 0 else "That is enough."
    return f"{_format(APPROVAL, post)} {needed}"


def _approved(post: RequestPost) -> str:
    if post.request.by_bot:
        why = f"{mrkdwn.person(post.actor)} cancels it now" if post.actor else NOT_KEPT
        return f":arrow_forward: {why.rstrip('.')}: the bot now asks Atlas to cancel the job."
    enough = "That is enough: the bot now asks Atlas to cancel the job."
    return f"{_format(APPROVAL, post)} {enough}"


def _waits_again(post: RequestPost) -> str:
    missing = post.request.approvals_missing
    waits = f"The request waits. {missing} more approval(s) needed." if missing else LOST_RIGHT
    job = mrkdwn.summary(post.request)
    return f":hourglass_flowing_sand: {job} was not cancelled.{_sentence(post)}\n{waits}"


def _retried(post: RequestPost) -> str:
    again = " It needs {needed} approval(s) again." if post.detail.get("approvals_needed") else ""
    return _format(f":repeat: {{actor}} started another try.{again}", post)


def _cancelled(post: RequestPost) -> str:
    approved = mrkdwn.approved_by(post.request)
    who = f"Approved by {approved}. " if approved else ""
    was_live = post.request.shown.link_is_live or "link_live_since" in post.detail
    live = f" {LINK_WAS_LIVE}" if was_live else ""
    headline = _format(":white_check_mark: {to}: {job} is cancelled.", post)
    return f"{headline} {who}Atlas confirms it.{live}"


def _withdrawn(post: RequestPost) -> str:
    return (BY_REQUESTER if post.actor else BY_QUARANTINE)(post)


def _link_live(post: RequestPost) -> str:
    value = post.detail.get("live_since")
    since = f" since {mrkdwn.date(datetime.fromisoformat(value), seconds=True)}" if value else ""
    return (
        f":warning: The download link of {mrkdwn.summary(post.request)} is live{since}. "
        "From now on the copy may have been taken; a cancellation ends the link."
    )


def _job_ended(post: RequestPost) -> str:
    state = post.detail.get("state")
    how = job_facts.ending(JobState(state) if state else None)
    return (
        f":information_source: {mrkdwn.summary(post.request)} has {how}: there is nothing left "
        "to cancel. The request can be withdrawn."
    )


APPROVAL = ":ballot_box_with_check: {actor} approved."
ACTED_ALONE = ":rotating_light: {to} acted alone: asked to cancel {job} without approval."
ASK_AGAIN = "To ask again, type {command}."
BY_REQUESTER = _outcome(":no_entry_sign: {to} withdrew the request. Nothing was done to {job}.")
BY_QUARANTINE = _outcome(":inbox_tray: {to}: the bot's own request takes the place of this one.")
LINK_WAS_LIVE = "Its download link had been live, so the data may have been downloaded already."
LOST_RIGHT = (
    "The request waits: if the person who asked gets the right back, one approval lets it run."
)

#: The text of each reply: a template, or a function where it depends on more.
RENDERERS: Mapping[EventName, Render | str] = {
    EventName.ACTED_ALONE: ACTED_ALONE,
    EventName.REVIEWED: ":ballot_box_with_check: {actor} reviewed what was done without approval.",
    EventName.NOTIFIED: _notified,
    EventName.REMINDED: (
        ":bell: Reminder: the request to cancel {job} waits for approval, until {until}."
    ),
    EventName.ESCALATED: (
        ":rotating_light: Escalated: the request to cancel {job} waits for approval."
    ),
    EventName.QUARANTINED: (
        ":warning: The approver may not approve any more, so the download is in quarantine again."
    ),
    EventName.KEPT: _outcome(":unlock: {job} is kept{by}: it goes on."),
    EventName.OBSERVED: _outcome(":eyes: {job} goes on."),
    EventName.APPROVAL_GIVEN: _approval,
    EventName.APPROVED: _approved,
    EventName.APPROVAL_VOIDED: (
        ":warning: The approval of {user} counts no longer: {user} may not approve any more."
    ),
    EventName.APPROVALS_RAISED: ":warning: The policy requires {needed} approval(s) by now.",
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
