"""The words of each phase of a download: its headline and its story (pure)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.cancellation.download import Ended, Link, LinkPhase
from bot.cancellation.facts import Facts, Phase
from bot.cancellation.request import Request, State
from bot.cancellation.text import Code, Group, Moment, Text, Untrusted, User
from bot.cancellation.words import (
    COPY_MAY_BE_TAKEN,
    MAY_HAVE_TAKEN_EFFECT,
    NO_COPY,
    ONLY_WATCHES,
    TELL_SECURITY,
    asked,
    auto_cancel_line,
    how_it_ended,
    is_without_copy,
    let_run_line,
    until,
    what_changed,
    why_refused,
    why_withdrawn,
)

GOES_ON = ". The download goes on"
LOOK = ". Look in Atlas"


def headline(facts: Facts, now: datetime) -> Text:
    """Return the first line: the state of the download, and the next deadline."""
    return _PHASES[facts.phase].headline(facts, facts.download.link(now))


def story(facts: Facts) -> list[Text]:
    """Return what happened and what to do, a line each; the link's line says the rest."""
    lines = [*_history(facts), *_PHASES[facts.phase].story(facts)]
    if facts.policy.read_only and not facts.download.ended:
        lines.append((ONLY_WATCHES,))
    return lines


def _announced(facts: Facts, link: Link) -> Text:
    if link.phase is LinkPhase.LIVE:
        return ("The link of this download is live", *until(link))
    if link.phase is LinkPhase.GONE:
        return (f"The link was used or withdrawn: {COPY_MAY_BE_TAKEN}",)
    is_late = link.phase is LinkPhase.ANY_MOMENT
    expected: Text = ("any moment",) if is_late else (Moment(link.expected),)
    cluster = Code(facts.download.ref.cluster_name)
    return ("A backup of ", cluster, " is being downloaded. Link expected ", *expected)


def _auto_cancel(facts: Facts, link: Link) -> Text:
    is_live = _live_first(link)
    if is_live:
        time = _seconds(facts.auto_cancel_at)
        return (*is_live, "Cancelling starts at ", *time, " unless somebody lets it run")
    return auto_cancel_line(facts)


def _waiting(facts: Facts, link: Link) -> Text:
    question = (*_live_first(link), "Cancel this download? ")
    if facts.auto_cancel_at:
        return (*question, "One approval now, or by itself at ", *_seconds(facts.auto_cancel_at))
    request = _request(facts)
    count = max(1, request.missing)
    noun = "approval" if count == 1 else "approvals"
    return (*question, f"Waits for {count} {noun}, until ", Moment(request.expires_at))


def _cancelling(facts: Facts, _link: Link) -> Text:
    is_stuck = bool(_request(facts).trouble)
    return ("Being cancelled: it takes longer than usual",) if is_stuck else ("Being cancelled",)


def _cancelled(facts: Facts, _link: Link) -> Text:
    if facts.download.link_existed:
        return (f"Cancelled, but its link was live: {COPY_MAY_BE_TAKEN}",)
    return ("Cancelled. Atlas confirms it",)


def _let_run(facts: Facts, link: Link) -> Text:
    return (*_let_run_by(facts), *_live_last(link))


def _let_run_by(facts: Facts) -> Text:
    decision, request = facts.download.let_run, facts.request
    is_denied = request is not None and request.state is State.DENIED
    by = request.outcome.by if request and is_denied else decision and decision.by
    return ("Let run by ", User(by)) if by else ("Let run",)


def _ended(facts: Facts, _link: Link) -> Text:
    if facts.download.link_existed:
        if facts.was_let_run:
            return (*_let_run_by(facts), ". The download ended, and its link was live")
        return ("Too late: the download ended and its link was live",)
    if facts.download.ended is Ended.GONE:
        return ("Atlas does not list this download any more",)
    return (f"The download has ended: {how_it_ended(facts)}",)


def _live_first(link: Link) -> Text:
    """Return the sentence about a live link in front of a headline."""
    if link.phase is LinkPhase.LIVE:
        return ("The link is live. ",)
    return ("Link used or withdrawn. ",) if link.phase is LinkPhase.GONE else ()


def _then(sentence: str, goes_on: str = "") -> Callable[[Facts, Link], Text]:
    """Build a headline; once the link exists, that stands in place of `goes_on`."""
    return lambda _facts, link: (sentence, *(_live_last(link) or (goes_on,)))


def _live_last(link: Link) -> Text:
    """Return the sentence about a live link behind a headline."""
    if link.phase is LinkPhase.LIVE:
        return (". The link is live", *until(link))
    return (". The link was used or withdrawn",) if link.phase is LinkPhase.GONE else ()


def _no_story(_facts: Facts) -> list[Text]:
    return []


def _announced_story(facts: Facts) -> list[Text]:
    if not facts.download.link_existed:
        return []
    still = "" if facts.policy.read_only else "It can still be cancelled, but "
    return [(_sentence(f"{still}{COPY_MAY_BE_TAKEN}."), f" {TELL_SECURITY}")]


def _auto_cancel_story(facts: Facts) -> list[Text]:
    return [("May let it run: ", Group(facts.policy.approvers), ".")]


def _waiting_story(facts: Facts) -> list[Text]:
    approvers = facts.policy.approvers.without(_request(facts).requester)
    return [("May approve: ", Group(approvers), ".")]


def _cancelling_story(facts: Facts) -> list[Text]:
    trouble = _request(facts).trouble
    if not trouble:
        return [("Asking Atlas …",)]
    goes_on = " The bot tries again until the download is over. Faster: cancel it in Atlas."
    return [(Untrusted(trouble), goes_on)]


def _cancelled_story(facts: Facts) -> list[Text]:
    return [("Atlas confirmed it ", Moment(_request(facts).changed_at, has_seconds=True), ".")]


def _let_run_story(_facts: Facts) -> list[Text]:
    return [("The download goes on.",)]


def _withdrawn(facts: Facts, link: Link) -> Text:
    has_sent = _request(facts).attempts.may_have_taken_effect
    return _then("The request was withdrawn", LOOK if has_sent else GOES_ON)(facts, link)


def _withdrawn_story(facts: Facts) -> list[Text]:
    request = _request(facts)
    is_said = request.outcome.is_read_only and facts.policy.read_only
    lines = [] if is_said else [why_withdrawn(request)]
    if request.attempts.may_have_taken_effect:
        lines.append((MAY_HAVE_TAKEN_EFFECT,))
    return lines


def _refused_story(facts: Facts) -> list[Text]:
    return [why_refused(_request(facts))]


def _changed_story(facts: Facts) -> list[Text]:
    return [*what_changed(_request(facts)), ("Nothing was sent. Look at it again.",)]


def _failed_story(facts: Facts) -> list[Text]:
    request = _request(facts)
    started = request.run_started_at or request.created_at
    may = f" {MAY_HAVE_TAKEN_EFFECT}" if request.attempts.may_have_taken_effect else ""
    tried = ("Tried from ", Moment(started), " to ", Moment(request.changed_at), ". ")
    return [(*tried, "Last answer: ", Untrusted(request.outcome.error), may)]


def _ended_story(facts: Facts) -> list[Text]:
    download, request = facts.download, facts.request
    lines: list[Text] = []
    if download.link_existed:
        lines.append((f"The download has ended: {how_it_ended(facts)}.",))
    elif is_without_copy(facts):
        lines.append((_sentence(f"{NO_COPY}."),))
    elif download.ended in {Ended.EXPIRED, Ended.FINISHED}:
        lines.append(("The bot may have missed its link.",))
    if request and request.state is State.OVER and not request.attempts.count:
        lines.append(("The bot sent nothing.",))
    return lines


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:]


@dataclass(frozen=True, slots=True)
class _Words:
    """What the message says in one phase."""

    headline: Callable[[Facts, Link], Text]
    story: Callable[[Facts], Sequence[Text]]


_PHASES: Mapping[Phase, _Words] = {
    Phase.ANNOUNCED: _Words(_announced, _announced_story),
    Phase.AUTO_CANCEL: _Words(_auto_cancel, _auto_cancel_story),
    Phase.WAITING: _Words(_waiting, _waiting_story),
    Phase.CANCELLING: _Words(_cancelling, _cancelling_story),
    Phase.CANCELLED: _Words(_cancelled, _cancelled_story),
    Phase.LET_RUN: _Words(_let_run, _let_run_story),
    Phase.WITHDRAWN: _Words(_withdrawn, _withdrawn_story),
    Phase.EXPIRED: _Words(_then("Not decided: nobody approved in time", GOES_ON), _no_story),
    Phase.REFUSED: _Words(_then("Atlas refused to cancel it"), _refused_story),
    Phase.CHANGED: _Words(_then("Not cancelled: Atlas shows another job"), _changed_story),
    Phase.FAILED: _Words(_then("Not cancelled: the bot gave up", LOOK), _failed_story),
    Phase.ENDED: _Words(_ended, _ended_story),
}


def _history(facts: Facts) -> list[Text]:
    """Say who asked and why, who approved, who acted alone, and who let it run."""
    request = facts.request
    lines = [let_run_line(facts)] if facts.download.let_run or facts.was_let_run else []
    if request is None or facts.phase is Phase.AUTO_CANCEL:
        return lines
    requested = [asked(request)] if request.requester else []
    requested += [
        (User(item.user), " approved ", Moment(item.at, has_seconds=True), ".")
        for item in request.approvals
    ]
    if request.alone:
        requested.append((User(request.alone), " cancels without approval (emergency)."))
    if request.is_automatic:
        time = _seconds(facts.download.auto_cancelled_at)
        requested.append(("Nobody let it run, so auto-cancel approved it ", *time, "."))
    return [*requested, *lines] if facts.was_let_run else [*lines, *requested]


def _seconds(at: datetime | None) -> Text:
    return (Moment(at, has_seconds=True),) if at else ()


def _request(facts: Facts) -> Request:
    if facts.request is None:
        raise AssertionError(f"{facts.phase} has a request")
    return facts.request
