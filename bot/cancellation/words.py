"""The lines about a download and its requests for people, as text segments (pure)."""

from collections.abc import Mapping
from datetime import datetime

from bot.cancellation.download import Download, Ended, Link, LinkPhase
from bot.cancellation.errors import ReadOnly
from bot.cancellation.facts import Facts
from bot.cancellation.request import Request, State
from bot.cancellation.starter import Starters
from bot.cancellation.text import Moment, Quote, Text, Untrusted, User, joined

TELL_SECURITY = "Tell your security team."
IN_ATLAS = "Cancel it in Atlas: Backup page of the cluster."
ONLY_WATCHES = ReadOnly.sentence
COPY_MAY_BE_TAKEN = "a copy may have been taken"
MAY_HAVE_TAKEN_EFFECT = "A DELETE may have taken effect."
NO_COPY = "no copy comes of it"
MOST_STARTERS = 5  #: possible starters in one line; JSON has all
#: How a download ended, by what Atlas shows.
_ENDS: Mapping[Ended, str] = {
    Ended.CANCELLED: "somebody else cancelled it",
    Ended.CANCELLED_AND_FAILED: "Atlas does not say what ended it",
    Ended.FAILED: "it failed",
    Ended.EXPIRED: "it expired",
    Ended.FINISHED: "it finished",
}
_FIELDS = {"delivery_type": "type", "snapshot_id": "snapshot id", "snapshot_time": "snapshot"}


def link_line(link: Link) -> Text:
    """Say what Atlas's last answer showed of the link, and nothing that was not seen."""
    match link.phase:
        case LinkPhase.EXPECTED:
            return ("Link expected about ", Moment(link.expected))
        case LinkPhase.ANY_MOMENT:
            return ("Link expected any moment",)
        case LinkPhase.LIVE:
            return ("Link live", *_since(link), *until(link))
        case LinkPhase.GONE:
            return ("Link live", *_since(link), ", used or withdrawn")
        case LinkPhase.NEVER_SEEN:
            return ("No link was seen",)
        case LinkPhase.WAS_LIVE:
            warning = f":rotating_light: The link was live: {COPY_MAY_BE_TAKEN}. {TELL_SECURITY}"
            return (warning,)


def starter_line(download: Download) -> Text:
    """Say when a download was started, and by whom."""
    by = _by(download.starters, download.started_at)
    return ("Started ", Moment(download.started_at), *by)


def asked(request: Request) -> Text:
    """Say who asked, when and why."""
    who = (User(request.requester),) if request.requester else ("Auto-cancel",)
    time = Moment(request.created_at, has_seconds=True)
    return (*who, " asked ", time, *because(request.reason), ".")


def because(reason: str) -> Text:
    """Return a person's reason behind what the person did; empty without one."""
    return (": ", Quote(reason)) if reason else ()


def auto_cancel_line(facts: Facts) -> Text:
    """Say what happens at the time of the auto-cancel; empty where none stands."""
    if facts.auto_cancel_at is None:
        return ()
    time = Moment(facts.auto_cancel_at, has_seconds=True)
    return ("This download will be cancelled at ", time, " unless somebody lets it run")


def let_run_line(facts: Facts) -> Text:
    """Say who let the download run, when and why; empty where nobody did."""
    decision, request = facts.download.let_run, facts.request
    if decision:
        by, at, reason = decision.by, decision.at, decision.reason
    elif request and request.state is State.DENIED and request.outcome.by:
        by, at, reason = request.outcome.by, request.changed_at, request.outcome.reason
    else:
        return ()
    return (User(by), " let it run ", Moment(at, has_seconds=True), *because(reason), ".")


def how_it_ended(facts: Facts) -> str:
    """Say how a download ended that the bot did not certainly cancel."""
    ended = facts.download.ended
    if ended is Ended.CANCELLED and facts.has_sent:
        return "it is cancelled, perhaps by the bot's own DELETE"
    return _ENDS.get(ended or Ended.GONE, "Atlas does not list it any more")


def is_without_copy(facts: Facts) -> bool:
    """Whether a DELETE of the bot ended a download before any answer showed a link."""
    is_both = facts.download.ended is Ended.CANCELLED_AND_FAILED
    return is_both and facts.has_sent and not facts.download.link_existed


def why_withdrawn(request: Request) -> Text:
    """Say why a request was withdrawn."""
    outcome = request.outcome
    if outcome.is_read_only:
        return (ONLY_WATCHES,)
    if outcome.lost_right:
        person = request.alone or request.requester
        who: Text = (User(person),) if person else ("The requester",)
        act = "act alone here" if request.alone else "ask for this"
        return (*who, f" may not {act} any more.")
    return (User(outcome.by), " withdrew the request.") if outcome.by else ()


def why_refused(request: Request) -> Text:
    """Say what Atlas answered, and what to do."""
    outcome = request.outcome
    status = f"HTTP {outcome.status}" if outcome.status else ""
    answer = ", ".join(part for part in (status, outcome.code) if part)
    prefix: Text = (Untrusted(answer), ": ") if answer else ()
    return (*prefix, Untrusted(outcome.error), f" {IN_ATLAS}")


def what_changed(request: Request) -> list[Text]:
    """Say which values of the job are not those that were shown."""
    return [
        (f"Its {_FIELDS.get(name, name)} was ", _value(before), " and is ", _value(after), ".")
        for name, (before, after) in request.outcome.changes.items()
    ]


def _value(text: str | None) -> Moment | Untrusted:
    try:
        return Moment(datetime.fromisoformat(text or ""), has_date=True)
    except ValueError:
        return Untrusted(text or "not given")


def _by(starters: Starters, started_at: datetime) -> Text:
    if starters.names:
        shown: list[Text] = [(Untrusted(name),) for name in starters.names[:MOST_STARTERS]]
        more = len(starters.names) - MOST_STARTERS
        rest: list[Text] = [(f"{more} others",)] if more > 0 else []
        return (" by ", *joined([*shown, *rest], " or "))
    if starters.read_at is None:
        return (", starter not known",)
    is_final = starters.covers(started_at)
    return (", starter not in the activity feed" if is_final else ", starter not known yet",)


def _since(link: Link) -> Text:
    return (" since ", Moment(link.since)) if link.since else ()


def until(link: Link) -> Text:
    return (", until ", Moment(link.until)) if link.until else ()
