"""The words of a download's phases: headline, story and next step, as text segments (pure)."""

from collections.abc import Callable, Mapping
from datetime import datetime

from bot.cancellation.download import Download, Ended, Link, LinkPhase
from bot.cancellation.facts import Facts, Phase
from bot.cancellation.request import Request, State
from bot.cancellation.starter import Starters
from bot.cancellation.text import Code, Group, Moment, Quote, Text, Untrusted, User, joined

TELL_SECURITY = "Tell your security team."
IN_ATLAS = "Cancel it in Atlas: Backup page of the cluster."
ONLY_WATCHES = f"This bot only watches here. {IN_ATLAS}"
COPY_MAY_BE_TAKEN = "a copy may have been taken"
#: How a download ended, where no link was seen.
_ENDS: Mapping[Ended, str] = {
    Ended.CANCELLED: "The download has ended: somebody else cancelled it",
    Ended.CANCELLED_AND_FAILED: "The download has ended. Atlas does not say what ended it",
    Ended.FAILED: "The download has ended: it failed",
    Ended.EXPIRED: "The download has ended: it expired",
    Ended.FINISHED: "The download has ended: it finished",
    Ended.GONE: "Atlas does not list this download any more",
}


def headline(facts: Facts, now: datetime) -> Text:
    """Return the first line: the state of the download, and the next deadline."""
    return _HEADLINES[facts.phase](facts, facts.download.link(now))


def _announced(facts: Facts, link: Link) -> Text:
    cluster = Code(facts.download.ref.cluster_name)
    match link.phase:
        case LinkPhase.EXPECTED:
            expected = Moment(link.expected)
            return "A backup of ", cluster, " is being downloaded. Link expected ", expected
        case LinkPhase.ANY_MOMENT:
            return "A backup of ", cluster, " is being downloaded. Link expected any moment"
        case LinkPhase.LIVE:
            return ("The link of this download is live", *_until(link))
        case _:
            return (f"The link of this download was used or withdrawn: {COPY_MAY_BE_TAKEN}",)


def _auto_cancel(facts: Facts, link: Link) -> Text:
    time = _seconds(facts.auto_cancel_at)
    is_live: Text = ("The link is live. ",) if link.phase is LinkPhase.LIVE else ()
    starters = facts.download.starters
    if starters.is_exempt(facts.policy.auto_cancel_exempt):
        name = Untrusted(starters.names[0])
        return (*is_live, "This download will be let run at ", *time, ": ", name, " may download")
    return (
        *is_live,
        "This download will be cancelled at ",
        *time,
        " unless somebody lets it run",
    )


def _waiting(facts: Facts, link: Link) -> Text:
    request = _request(facts)
    is_live: Text = ("The link is live. ",) if link.phase is LinkPhase.LIVE else ()
    if facts.auto_cancel_at:
        time = _seconds(facts.auto_cancel_at)
        asked = "Cancel this download? One approval now, or by itself at "
        return (*is_live, asked, *time)
    count = max(1, request.missing)
    noun = "approval" if count == 1 else "approvals"
    question = f"Cancel this download? Waits for {count} {noun}, until "
    return (*is_live, question, Moment(request.expires_at))


def _cancelling(facts: Facts, _link: Link) -> Text:
    is_stuck = bool(_request(facts).trouble)
    return ("Being cancelled: it takes longer than usual",) if is_stuck else ("Being cancelled",)


def _cancelled(facts: Facts, _link: Link) -> Text:
    if facts.download.link_existed:
        return (f"Cancelled, but its link was live: {COPY_MAY_BE_TAKEN}",)
    return ("Cancelled. Atlas confirms it",)


def _let_run(facts: Facts, link: Link) -> Text:
    decision, request = facts.download.let_run, facts.request
    by = decision.by if decision else (request.outcome.by if request else None)
    if by:
        return ("Let run by ", User(by), *_live(link))
    names = facts.download.starters.names
    who: Text = (Untrusted(names[0]), " may download") if names else ("its starter is exempt",)
    return ("Let run: ", *who, *_live(link))


def _ended(facts: Facts, _link: Link) -> Text:
    if facts.download.link_existed:
        return ("Too late: the download ended and its link was live",)
    return (_ENDS[facts.download.ended or Ended.GONE],)


def _with_link(sentence: str) -> Callable[[Facts, Link], Text]:
    return lambda _facts, link: (sentence, *_live(link))


_HEADLINES: Mapping[Phase, Callable[[Facts, Link], Text]] = {
    Phase.ANNOUNCED: _announced,
    Phase.AUTO_CANCEL: _auto_cancel,
    Phase.WAITING: _waiting,
    Phase.CANCELLING: _cancelling,
    Phase.CANCELLED: _cancelled,
    Phase.LET_RUN: _let_run,
    Phase.WITHDRAWN: _with_link("Not cancelled: the request was withdrawn. The download goes on"),
    Phase.EXPIRED: _with_link("Not decided: nobody approved in time. The download goes on"),
    Phase.REFUSED: _with_link("Atlas refused to cancel it. The download goes on"),
    Phase.CHANGED: _with_link("Not cancelled: Atlas shows another job than the one confirmed"),
    Phase.FAILED: _with_link("Not cancelled: the bot gave up. Look in Atlas"),
    Phase.ENDED: _ended,
}


def _until(link: Link) -> Text:
    return (", until ", Moment(link.until)) if link.until else ()


def _live(link: Link) -> Text:
    """Return the clause about a live link behind a headline."""
    if link.phase is LinkPhase.LIVE:
        return (". Its link is live", *_until(link))
    return (". Its link was used or withdrawn",) if link.phase is LinkPhase.GONE else ()


def _seconds(at: datetime | None) -> Text:
    return (Moment(at, has_seconds=True),) if at else ()


def _request(facts: Facts) -> Request:
    if facts.request is None:
        raise AssertionError(f"{facts.phase} has a request")
    return facts.request


def link_line(link: Link) -> Text:
    """Say what Atlas's last answer showed of the link, and nothing that was not seen."""
    match link.phase:
        case LinkPhase.EXPECTED:
            return ("Link expected about ", Moment(link.expected))
        case LinkPhase.ANY_MOMENT:
            return ("Link expected any moment",)
        case LinkPhase.LIVE:
            return ("Link live", *_since(link), *_until(link))
        case LinkPhase.GONE:
            return ("Link live", *_since(link), ", used or withdrawn")
        case LinkPhase.NEVER_SEEN:
            return ("No link was seen",)
        case LinkPhase.WAS_LIVE:
            warning = f":rotating_light: The link was live: {COPY_MAY_BE_TAKEN}. {TELL_SECURITY}"
            return (warning,)


def _since(link: Link) -> Text:
    return (" since ", Moment(link.since)) if link.since else ()


def starter_line(download: Download) -> Text:
    """Say when a download was started, and by whom."""
    started = ("Started ", Moment(download.started_at))
    return (*started, *_by(download.starters, download.started_at))


def _by(starters: Starters, started_at: datetime) -> Text:
    if starters.names:
        names = joined([(Untrusted(name),) for name in starters.names], " or ")
        return (" by ", *names)
    if starters.read_at is None:
        return (", starter not known",)
    if starters.covers(started_at):
        return (", starter not in the activity feed",)
    return (", starter not known yet",)


def story(facts: Facts) -> list[Text]:
    """Return what happened and what to do, a line each."""
    lines = [*_history(facts), *_STORIES.get(facts.phase, _no_story)(facts)]
    if facts.policy.read_only and not facts.download.ended:
        lines.append((ONLY_WATCHES,))
    return lines


def _history(facts: Facts) -> list[Text]:
    """Say who asked and why, who approved, and who acted alone."""
    request = facts.request
    if request is None or facts.phase is Phase.AUTO_CANCEL:
        return []
    lines = [asked(request)] if request.requester else []
    lines += [
        (User(item.user), " approved ", Moment(item.at, has_seconds=True), ".")
        for item in request.approvals
    ]
    if request.alone:
        lines.append((User(request.alone), " cancels without approval (emergency)."))
    if request.is_automatic:
        time = _seconds(facts.download.auto_cancelled_at)
        lines.append(("Nobody let it run, so auto-cancel approved it ", *time, "."))
    return lines


def asked(request: Request) -> Text:
    """Say who asked, when and why."""
    who = (User(request.requester),) if request.requester else ("Auto-cancel",)
    reason: Text = (": ", Quote(request.reason)) if request.reason else ()
    return (*who, " asked ", Moment(request.created_at, has_seconds=True), *reason, ".")


def _no_story(_facts: Facts) -> list[Text]:
    return []


def _announced_story(facts: Facts) -> list[Text]:
    if not facts.download.link_existed:
        return []
    return [(f"It can still be cancelled, but {COPY_MAY_BE_TAKEN}. {TELL_SECURITY}",)]


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
    confirmed = ("Atlas confirmed ", Moment(_request(facts).changed_at, has_seconds=True), ".")
    if not facts.download.link_existed:
        return [(*confirmed, " No link was seen.")]
    return [(*confirmed, f" {TELL_SECURITY}")]


def _let_run_story(facts: Facts) -> list[Text]:
    decision, request = facts.download.let_run, facts.request
    reason = decision.reason if decision else (request.outcome.reason if request else "")
    goes_on: Text = ("The download goes on.",)
    return [(Quote(reason), ". ", *goes_on)] if reason else [goes_on]


def _withdrawn_story(facts: Facts) -> list[Text]:
    request = _request(facts)
    outcome = request.outcome
    if outcome.is_read_only:
        return [(ONLY_WATCHES,)] if not facts.policy.read_only else []
    if outcome.lost_right:
        person = request.alone or request.requester
        who: Text = (User(person),) if person else ("The requester",)
        return [(*who, " may not ask for this any more.")]
    return [(User(outcome.by), " withdrew the request.")] if outcome.by else []


def _refused_story(facts: Facts) -> list[Text]:
    outcome = _request(facts).outcome
    answer = ", ".join(
        str(part) for part in (outcome.status and f"HTTP {outcome.status}", outcome.code) if part
    )
    prefix: Text = (Untrusted(answer), ": ") if answer else ()
    return [(*prefix, Untrusted(outcome.error), f" {IN_ATLAS}")]


_LABELS = {
    "delivery_type": "type",
    "snapshot_id": "snapshot id",
    "snapshot_time": "snapshot",
}


def _changed_story(facts: Facts) -> list[Text]:
    lines: list[Text] = []
    for name, (before, after) in _request(facts).outcome.changes.items():
        was, now = Untrusted(before or "not given"), Untrusted(after or "not given")
        lines.append((f"Its {_LABELS.get(name, name)} was ", was, " and is ", now, "."))
    return [*lines, ("Look at it again.",)]


def _failed_story(facts: Facts) -> list[Text]:
    request = _request(facts)
    started = request.run_started_at or request.created_at
    may = " A DELETE may have taken effect." if request.attempts.may_have_taken_effect else ""
    tried = ("Tried from ", Moment(started), " to ", Moment(request.changed_at), ". ")
    return [(*tried, "Last answer: ", Untrusted(request.outcome.error), may)]


def _ended_story(facts: Facts) -> list[Text]:
    download, request = facts.download, facts.request
    if download.link_existed:
        return [(f"{COPY_MAY_BE_TAKEN.capitalize()}. {TELL_SECURITY}",)]
    has_sent = request is not None and request.attempts.may_have_taken_effect
    if download.ended is Ended.CANCELLED_AND_FAILED and has_sent:
        return [("No link was seen, so no copy comes of it.",)]
    if request is not None and request.state is State.OVER and not request.attempts.count:
        return [("The bot sent nothing. No link was seen.",)]
    return [("No link was seen.",)]


_STORIES: Mapping[Phase, Callable[[Facts], list[Text]]] = {
    Phase.ANNOUNCED: _announced_story,
    Phase.AUTO_CANCEL: _auto_cancel_story,
    Phase.WAITING: _waiting_story,
    Phase.CANCELLING: _cancelling_story,
    Phase.CANCELLED: _cancelled_story,
    Phase.LET_RUN: _let_run_story,
    Phase.WITHDRAWN: _withdrawn_story,
    Phase.REFUSED: _refused_story,
    Phase.CHANGED: _changed_story,
    Phase.FAILED: _failed_story,
    Phase.ENDED: _ended_story,
}
