"""The replies in a download's thread: one sentence or two, with the mentions (pure)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bot.cancellation.download import Ended
from bot.cancellation.facts import Facts, Phase
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Request, State
from bot.cancellation.text import Moment, Text, Untrusted, User
from bot.cancellation.words import (
    COPY_MAY_BE_TAKEN,
    IN_ATLAS,
    MAY_HAVE_TAKEN_EFFECT,
    NO_COPY,
    TELL_SECURITY,
    auto_cancel_line,
    because,
    how_it_ended,
    is_without_copy,
    link_line,
    until,
    what_changed,
    why_refused,
    why_withdrawn,
)
from bot.slack import blockkit, mrkdwn
from bot.storage.outbox_store import Reply

#: An end after a live link, also in the name of a request.
TOO_LATE = f"too late: the download ended and its link was live. {TELL_SECURITY}"


def reply_message(reply: Reply, facts: Facts, now: datetime) -> dict[str, Any]:
    """Return text and blocks of a reply; mentions stand in both."""
    sentence = mrkdwn.render(reply_text(reply, facts, now))
    mentions = mrkdwn.people(reply.people) if reply.people and not is_late(reply) else ""
    text = f"{mentions}: {sentence}" if mentions else sentence[:1].upper() + sentence[1:]
    return {"text": blockkit.cut(text, blockkit.FALLBACK), "blocks": [blockkit.section(text)]}


def is_late(reply: Reply) -> bool:
    """Whether a reply that calls for approvals could be posted only after its request has ended."""
    is_call = reply.kind in {ReplyKind.WAITS, ReplyKind.WAITS_AGAIN, ReplyKind.REMINDER}
    return is_call and _request(reply).state.has_ended


def reply_text(reply: Reply, facts: Facts, now: datetime) -> Text:
    """Return the sentence of a reply; it begins as after a mention."""
    return _TEXTS[reply.kind](reply, facts, now)


def _waits(reply: Reply, facts: Facts, _now: datetime) -> Text:
    request = _request(reply)
    asks = (*_person(request.requester), " asks to cancel this download")
    if _is_decided(reply):
        return (*asks, *because(request.reason), ".")
    if facts.auto_cancel_at:
        time = Moment(facts.auto_cancel_at, has_seconds=True)
        return (*asks, *because(request.reason), ". Approve above; else it begins at ", time, ".")
    return (*asks, *because(request.reason), ". Approve above, until ", *_expiry(request))


def _waits_again(reply: Reply, _facts: Facts, _now: datetime) -> Text:
    request, voided = _request(reply), [str(user) for user in reply.detail.get("voided", [])]
    why: list[Text] = [
        ("the approval of ", User(user), " does not count any more, by today's policy. ")
        for user in voided
    ]
    reasons = why or [("by today's policy this needs more approvals. ",)]
    until_when = () if _is_decided(reply) else ("Approve above, until ", *_expiry(request))
    return (*(part for reason in reasons for part in reason), *until_when)


def _is_decided(reply: Reply) -> bool:
    """Whether a reply that calls for approvals comes after the decision."""
    return _request(reply).state is not State.AWAITING


def _reminder(reply: Reply, facts: Facts, now: datetime) -> Text:
    if _is_decided(reply):
        return ("this waited for an approval, and is decided.",)
    missing = max(1, _request(reply).missing)
    noun = "approval" if missing == 1 else "approvals"
    link = link_line(facts.download.link(now))
    return (f"this still waits for {missing} {noun}. ", *link, ".")


def _acted_alone(reply: Reply, _facts: Facts, _now: datetime) -> Text:
    reason = str(reply.detail.get("reason", ""))
    return (*_person(reply.actor), " cancels without approval (emergency)", *because(reason), ".")


def _approval(reply: Reply, _facts: Facts, _now: datetime) -> Text:
    given, needed = reply.detail.get("given", 1), reply.detail.get("needed", 1)
    reason = because(str(reply.detail.get("reason", "")))
    return (*_person(reply.actor), f" approves ({given} of {needed})", *reason, ".")


def _link_live(_reply: Reply, facts: Facts, now: datetime) -> Text:
    download = facts.download
    if download.ended:
        return (TOO_LATE,)
    if not download.has_link:
        return (f"the link of this download was live, and was used or withdrawn. {TELL_SECURITY}",)
    do = IN_ATLAS if facts.policy.read_only else "It can still be cancelled above."
    return ("the link of this download is live now", *until(download.link(now)), f". {do}")


def _trouble(reply: Reply, _facts: Facts, _now: datetime) -> Text:
    trouble = Untrusted(str(reply.detail.get("trouble", "")))
    goes_on = " The bot goes on trying. Faster: cancel it in Atlas."
    return ("this is not cancelled yet. ", trouble, goes_on)


def _let_run(reply: Reply, _facts: Facts, _now: datetime) -> Text:
    reason = str(reply.detail.get("reason", ""))
    return (*_person(reply.actor), " lets this download run", *because(reason), ".")


def _ended(reply: Reply, facts: Facts, _now: datetime) -> Text:
    request = reply.request
    return _ENDS[request.state](request, facts) if request else (TOO_LATE,)


def _cancelled(_request: Request, facts: Facts) -> Text:
    if facts.download.link_existed:
        return (f"cancelled, but its link was live: {COPY_MAY_BE_TAKEN}. {TELL_SECURITY}",)
    return ("cancelled, Atlas confirms it. No link was seen.",)


def _over(_request: Request, facts: Facts) -> Text:
    if facts.download.link_existed:
        return (TOO_LATE,)
    copy = f", and {NO_COPY}" if is_without_copy(facts) else ""
    is_missed = facts.download.ended in {Ended.EXPIRED, Ended.FINISHED}
    missed = " The bot may have missed its link." if is_missed else ""
    return (f"the download has ended: {how_it_ended(facts)}{copy}. No link was seen.{missed}",)


def _refused(request: Request, _facts: Facts) -> Text:
    return ("Atlas refused to cancel this. ", *why_refused(request))


def _changed(request: Request, _facts: Facts) -> Text:
    changes = [part for line in what_changed(request) for part in (" ", *line)]
    return ("not cancelled: Atlas shows another job.", *changes, " Look at it again above.")


def _failed(request: Request, _facts: Facts) -> Text:
    error = Untrusted(request.outcome.error)
    may = f"{MAY_HAVE_TAKEN_EFFECT} " if request.attempts.may_have_taken_effect else ""
    return ("not cancelled: the bot gave up. Last answer: ", error, f" {may}Look in Atlas.")


def _denied(request: Request, _facts: Facts) -> Text:
    reason = because(request.outcome.reason)
    return (*_person(request.outcome.by), " lets this download run", *reason, ".")


def _withdrawn(request: Request, facts: Facts) -> Text:
    if facts.auto_cancel_at:
        return (*why_withdrawn(request), " ", *auto_cancel_line(facts), ".")
    goes_on = " The download goes on." if request.outcome.by and _goes_on(facts) else ""
    sent = f" {MAY_HAVE_TAKEN_EFFECT}" if request.attempts.may_have_taken_effect else ""
    return ("not cancelled. ", *why_withdrawn(request), sent or goes_on)


def _expired(_request: Request, facts: Facts) -> Text:
    if facts.auto_cancel_at:
        return ("nobody approved in time. ", *auto_cancel_line(facts), ".")
    goes_on = ", and the download goes on. Ask again above." if _goes_on(facts) else "."
    return (f"nobody approved in time{goes_on}",)


def _goes_on(facts: Facts) -> bool:
    """Whether nothing ended the download, or began to, before the reply was posted."""
    return facts.phase is not Phase.CANCELLING and not facts.download.ended


_ENDS: Mapping[State, Callable[[Request, Facts], Text]] = {
    State.CANCELLED: _cancelled,
    State.OVER: _over,
    State.REFUSED: _refused,
    State.CHANGED: _changed,
    State.FAILED: _failed,
    State.DENIED: _denied,
    State.WITHDRAWN: _withdrawn,
    State.EXPIRED: _expired,
}
_TEXTS: Mapping[ReplyKind, Callable[[Reply, Facts, datetime], Text]] = {
    ReplyKind.WAITS: _waits,
    ReplyKind.WAITS_AGAIN: _waits_again,
    ReplyKind.REMINDER: _reminder,
    ReplyKind.ACTED_ALONE: _acted_alone,
    ReplyKind.APPROVAL: _approval,
    ReplyKind.LINK_LIVE: _link_live,
    ReplyKind.TROUBLE: _trouble,
    ReplyKind.LET_RUN: _let_run,
    ReplyKind.ENDED: _ended,
}


def _request(reply: Reply) -> Request:
    if reply.request is None:
        raise AssertionError(f"a reply of the kind {reply.kind} has a request")
    return reply.request


def _person(user: str | None) -> Text:
    return (User(user),) if user else ("Auto-cancel",)


def _expiry(request: Request) -> Text:
    return (Moment(request.expires_at), ".")
