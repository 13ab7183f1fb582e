"""The replies in a download's thread: one sentence or two, with the mentions (pure)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bot.cancellation.download import Download, Ended
from bot.cancellation.facts import Facts
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Request, State
from bot.cancellation.text import Moment, Quote, Text, Untrusted, User
from bot.cancellation.words import IN_ATLAS, TELL_SECURITY, link_line, story
from bot.slack import blockkit, mrkdwn
from bot.storage.outbox_store import Reply


def reply_message(reply: Reply, facts: Facts, now: datetime) -> dict[str, Any]:
    """Return text and blocks of a reply; mentions stand in both."""
    sentence = mrkdwn.render(reply_text(reply, facts, now))
    mentions = mrkdwn.people(reply.people) if reply.people else ""
    text = f"{mentions}: {sentence}" if mentions else sentence[:1].upper() + sentence[1:]
    return {"text": blockkit.cut(text, blockkit.FALLBACK), "blocks": [blockkit.section(text)]}


def reply_text(reply: Reply, facts: Facts, now: datetime) -> Text:
    """Return the sentence of a reply."""
    return _TEXTS[reply.kind](reply, facts, now)


def _waits(reply: Reply, facts: Facts, _now: datetime) -> Text:
    request = _request(reply)
    who = _asker(request)
    reason: Text = (": ", Quote(request.reason)) if request.reason else ()
    until = Moment(facts.auto_cancel_at or request.expires_at)
    approve: Text = (". Approve above, until ", until, ".")
    return (*who, " asks to cancel this download", *reason, *approve)


def _waits_again(reply: Reply, _facts: Facts, _now: datetime) -> Text:
    voided = [str(user) for user in reply.detail.get("voided", [])]
    if not voided:
        return ("By today's policy this needs more approvals. Approve above.",)
    names: list[Text] = [
        ("The approval of ", User(user), " does not count any more. ") for user in voided
    ]
    return (*(part for name in names for part in name), "Approve above.")


def _reminder(reply: Reply, facts: Facts, now: datetime) -> Text:
    missing = max(1, _request(reply).missing)
    noun = "approval" if missing == 1 else "approvals"
    link = link_line(facts.download.link(now))
    return (f"this still waits for {missing} {noun}. ", *link, ".")


def _acted_alone(reply: Reply, _facts: Facts, _now: datetime) -> Text:
    reason = str(reply.detail.get("reason", ""))
    return (*_person(reply.actor), " cancels without approval (emergency): ", Quote(reason), ".")


def _approval(reply: Reply, _facts: Facts, _now: datetime) -> Text:
    given, needed = reply.detail.get("given", 1), reply.detail.get("needed", 1)
    return (*_person(reply.actor), f" approves ({given} of {needed}).")


def _link_live(_reply: Reply, facts: Facts, _now: datetime) -> Text:
    if facts.download.has_link:
        return (f"the link of this download is live now. {TELL_SECURITY}",)
    return (f"the link of this download was live, and was used or withdrawn. {TELL_SECURITY}",)


def _trouble(reply: Reply, _facts: Facts, _now: datetime) -> Text:
    trouble = Untrusted(str(reply.detail.get("trouble", "")))
    return (
        "this is not cancelled yet: ",
        trouble,
        " The bot goes on trying. Faster: cancel it in Atlas.",
    )


def _let_run(reply: Reply, _facts: Facts, _now: datetime) -> Text:
    reason = str(reply.detail.get("reason", ""))
    because: Text = (": ", Quote(reason)) if reason else ()
    return (*_person(reply.actor), " lets this download run", *because, ".")


def _ended(reply: Reply, facts: Facts, _now: datetime) -> Text:
    request = reply.request
    if request is None:
        return (f"too late: the download ended and its link was live. {TELL_SECURITY}",)
    return _ENDS[request.state](request, facts.download, facts)


def _cancelled(_request: Request, download: Download, _facts: Facts) -> Text:
    if download.link_existed:
        return (f"cancelled, but its link was live: a copy may have been taken. {TELL_SECURITY}",)
    return ("cancelled, Atlas confirms it. No link was seen.",)


def _over(_request: Request, download: Download, _facts: Facts) -> Text:
    if download.link_existed:
        return (f"too late: the download ended and its link was live. {TELL_SECURITY}",)
    how = {
        Ended.CANCELLED_AND_FAILED: "Atlas does not say what ended it, and no copy comes of it",
        Ended.CANCELLED: "somebody else cancelled it",
    }.get(download.ended or Ended.GONE, "it ended by itself")
    return (f"the download has ended: {how}. No link was seen.",)


def _refused(request: Request, _download: Download, _facts: Facts) -> Text:
    outcome = request.outcome
    answer = f"HTTP {outcome.status}: " if outcome.status else ""
    return ("Atlas refused to cancel it. ", answer, Untrusted(outcome.error), f" {IN_ATLAS}")


def _changed(_request: Request, _download: Download, _facts: Facts) -> Text:
    return ("not cancelled: Atlas shows another job than the one confirmed. Look at it again.",)


def _failed(request: Request, _download: Download, _facts: Facts) -> Text:
    error = Untrusted(request.outcome.error)
    return ("not cancelled: the bot gave up. Last answer: ", error, " Look in Atlas.")


def _denied(request: Request, _download: Download, _facts: Facts) -> Text:
    reason: Text = (": ", Quote(request.outcome.reason)) if request.outcome.reason else ()
    return (*_person(request.outcome.by), " lets this download run", *reason, ".")


def _withdrawn(request: Request, _download: Download, facts: Facts) -> Text:
    if request.outcome.by:
        return (User(request.outcome.by), " withdrew the request. The download goes on.")
    lines = story(facts)
    why = lines[-1] if lines else ("The request ended.",)
    return ("not cancelled. ", *why)


def _expired(_request: Request, _download: Download, _facts: Facts) -> Text:
    return ("nobody approved in time. The download goes on. Click above to ask again.",)


_ENDS: Mapping[State, Callable[[Request, Download, Facts], Text]] = {
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


def _asker(request: Request) -> Text:
    return _person(request.requester)


def _person(user: str | None) -> Text:
    return (User(user),) if user else ("Auto-cancel",)
