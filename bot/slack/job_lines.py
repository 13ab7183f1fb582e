"""Says who started a job, what the clock of its link shows, and what to do about it (pure)."""

from datetime import datetime, timedelta
from typing import Protocol

from bot.atlas import JobRef, JobState
from bot.cancellation.job import Job, LinkPhase, StarterAnswer
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.posts import Lead
from bot.cancellation.starter import StartedBy, Starter, StarterKind, StarterStatus
from bot.slack import blockkit, ids, mrkdwn
from bot.slack.deployment import command_code, labelled
from bot.slack.grammar import job_value

#: What to do now about a download that goes on, by how the request ended.
NEXT_STEPS = {
    State.FAILED: (
        "Click *Try again* on the card. If it fails again, cancel the download in Atlas, on the "
        "cluster's Backup page."
    ),
    State.REFUSED: (
        "If it still runs, cancel it in Atlas, on the cluster's Backup page. Once the cause is "
        "removed, {again} asks again."
    ),
    State.CHANGED: "{again} shows it as it is now, and lets you cancel it.",
    State.EXPIRED: "The download goes on. {again} asks again.",
    State.DENIED: "The download goes on. {again} asks again.",
    State.WITHDRAWN: "The download goes on. {again} asks again.",
    State.KEPT: "{again} lets you cancel it all the same.",
    State.OBSERVED: "{again} lets you cancel it.",
}

#: The same where the command does not find it.
NOT_SERVED = (
    "Cancel the download in Atlas, on the cluster's Backup page. Either the bot's settings do not "
    "select this project any more, or its organization's list of projects does not have it."
)

#: The same of a request whose place the bot's own took: the card of that one may come later.
TAKEN_OVER = "{again} shows its card, and until when an approver can keep the download."

IS_CANCELLED = "The bot asks Atlas to cancel the download now."

_KINDS = {
    StarterKind.USER: "{name}",
    StarterKind.API_KEY: "API key {name}",
    StarterKind.SERVICE_ACCOUNT: "service account {name}",
    StarterKind.OAUTH_APP: "application {name}",
    StarterKind.MONGODB_STAFF: "MongoDB staff {name}",
    StarterKind.UNNAMED: "an account that the activity feed does not name",
}

_WITHOUT_STARTER = {
    StarterStatus.TOO_EARLY: "not known yet",
    StarterStatus.NOT_IN_FEED: "not in the activity feed",
    StarterStatus.NOT_KNOWN: "not known: Atlas does not let the bot read the activity feed",
}
#: A message that ended may say it still when the starter has become known.
WHEN_UPDATED = "when this message was last updated"

MAX_OTHERS = 3  #: further candidates that are named

#: How a download ended; only the outcome of a request says that one is cancelled.
_ENDS = {
    JobState.CANCELLED: "was ended by a cancellation",
    JobState.EXPIRED: "has ended because its link expired",
    JobState.FAILED: "has failed",
    JobState.FINISHED: "has finished, so a copy may have been taken",
}

#: What the person said whom Atlas names as the starter.
ANSWERS = {
    StarterAnswer.MINE: (
        ":information_source: {who} says: *it was me*. A person who took over that account could "
        "say so, too."
    ),
    StarterAnswer.NOT_MINE: (
        ":rotating_light: *Not mine* {who}, whose account started this download, says: *it was not "
        "me*"
    ),
}

#: The alarm about such an answer, in the thread of a card or an announcement.
DISOWNED = (
    ":rotating_light: {actor} says: *it was not me*. Atlas names their account as the one that "
    "started {job}: another person may be using it."
)
LINK_UNKNOWN = "may have been live, and a copy may have been taken; tell your security team"
LINK_NEVER_LIVE = "was never live"
LINK_WAS_LIVE = (
    "Its download link had been live, so the data may have been downloaded already: tell your "
    "security team."
)
OWN_KEY = (
    "the bot's own key {name} ({sign}the key is used outside the bot: tell an admin of the bot)"
)


class Style(Protocol):
    """How a text shows names, times and signs: `mrkdwn` for Slack, another one for a terminal."""

    def code(self, text: str) -> str: ...
    def date(self, moment: datetime, *, seconds: bool = False) -> str: ...
    def sign(self, emoji: str) -> str: ...


def headline(text: str, ref: JobRef, project_name: str) -> str:
    """Name the cluster in the first line of a message."""
    where = f"{mrkdwn.code(ref.cluster_name)} in {mrkdwn.one_line(project_name) or '-'}"
    return labelled(f"*{text}*: {where}")


def started_line(ref: JobRef, job: Job, *, ended: bool = False) -> str:
    """Say when a job was started and by whom; `ended`: the message will not be updated any more."""
    by = job.started_by
    if by.starter is None:
        is_late = ended and by.knowledge is StarterStatus.TOO_EARLY
        unknown = f"was not known {WHEN_UPDATED}" if is_late else f"is {who(by)}"
        how = f"; who started it {unknown}"
    elif ended and not by.starter.certain:
        how = f"; who started it was not certain {WHEN_UPDATED}: {who(by)}"
    else:
        how = f"{'' if by.starter.certain else ', probably'} by {_name(by.starter)}"
    return f"*Started* {mrkdwn.date(ref.started_at)}{how}"


def who(started_by: StartedBy, style: Style = mrkdwn) -> str:
    """Name the starter, with its kind and certainty, or say what is known."""
    starter = started_by.starter
    if starter is None:
        return _WITHOUT_STARTER[started_by.knowledge]
    return f"{'' if starter.certain else 'probably '}{_name(starter, style)}"


def _name(starter: Starter, style: Style = mrkdwn) -> str:
    name = style.code(starter.name) if starter.name else ""
    template = OWN_KEY if starter.own_key else _KINDS[starter.kind]
    actor = template.format(name=name, sign=style.sign("rotating_light")).strip()
    others = mrkdwn.join(map(style.code, starter.others[:MAX_OTHERS]))
    return f"{actor}, or else {others}" if others else actor


def notice(ref: JobRef, project_name: str, job: Job, now: datetime) -> str:
    """Name a download, its starter and the time that is left, within the text of a notification."""
    where = f"{mrkdwn.code(ref.cluster_name)} in {mrkdwn.one_line(project_name)}"
    return f"{where}, {starter_notice(job.started_by)}, {_time_left(job, now)}"


def starter_notice(by: StartedBy) -> str:
    """Name the starter within the text of a notification."""
    if by.starter is None:
        return f"starter {_WITHOUT_STARTER[by.knowledge].partition(':')[0]}"
    return f"started{'' if by.starter.certain else ' probably'} by {_name(by.starter)}"


def _time_left(job: Job, now: datetime) -> str:
    match job.phase:
        case LinkPhase.EXPECTED if job.expected_at > now:
            return f"link expected in {mrkdwn.duration(job.expected_at - now)}"
        case LinkPhase.EXPECTED | LinkPhase.OVERDUE:
            return "link overdue: it may come at any moment"
        case LinkPhase.LIVE:
            until = f", ends in {mrkdwn.duration(job.until - now)}" if job.until else ""
            return f"link live{until}: it may have been used"
        case LinkPhase.USED:
            return "link used or withdrawn: a copy may have been taken"
        case LinkPhase.ENDED:
            return "link ended"


def answer_lines(job: Job) -> list[str]:
    """Return the line with what the person said who was asked; before that, nothing."""
    if job.answer is None:
        return []
    return [ANSWERS[job.answer].format(who=mrkdwn.person(job.asked))]


def link_line(job: Job) -> str:
    """Say when the download link is expected, since when it is live, or that the job has ended."""
    return f"*Download link* {link_text(job)}"


def link_text(job: Job, style: Style = mrkdwn) -> str:
    expected = style.date(job.expected_at, seconds=True)
    match job.phase:
        case LinkPhase.EXPECTED:
            return f"expected {expected}"
        case LinkPhase.OVERDUE:
            sign = style.sign("hourglass_flowing_sand")
            return f"{sign}overdue since {expected}: it may come at any moment"
        case LinkPhase.LIVE:
            return f"{live_text(job, style)}: it may have been used"
        case LinkPhase.USED:
            was_live = ""
            if job.live_since:
                was_live = f"; it was live since {style.date(job.live_since, seconds=True)}"
            return f"{style.sign('warning')}used or withdrawn{was_live}: a copy may have been taken"
        case LinkPhase.ENDED:
            used = f"; its link {LINK_UNKNOWN}" if job.link_unknown else ""
            used = "; the link was live and may have been used" if job.live_since else used
            how = _ENDS.get(job.ended or JobState.EXPIRED)
            return f"none any more: the download {how}{used}"


def live_text(job: Job, style: Style = mrkdwn) -> str:
    since = f" since {style.date(job.live_since, seconds=True)}" if job.live_since else ""
    until = f", until {style.date(job.until)}" if job.until else ""
    return f"{style.sign('warning')}live{since}{until}"


def card_lines(request: Request, job: Job) -> list[str]:
    is_cancelled = request.state is State.CANCELLED
    is_over = request.state is State.OVER and not request.was_replaced
    is_over = is_cancelled or is_over or mrkdwn.job_is_gone(request)
    # The card goes on showing the job, once the request has ended.
    is_followed = not is_over and (request.by_bot or request.state is State.FAILED)
    ended = request.state.ended and not (is_followed and not job.ended)
    started = started_line(request.ref, job, ended=ended)
    if is_over:
        past = past_link(job, request.changed_at if is_cancelled else None)
        return [started, *(past or ([link_line(job)] if job.ended else []))]
    if not request.state.ended or job.phase is LinkPhase.ENDED or is_followed:
        return [started, link_line(job)]
    # The card keeps this, and the link goes on: the heading says of which moment it is.
    return [started, f"{link_line(job)}, as known when this request ended"]


def link_below(request: Request, job: Job | None) -> str:
    """Return the line about the link of a request's download, to append; nothing if unknown."""
    return "".join(f"\n{line}" for line in card_lines(request, job)[1:]) if job else ""


def past_link(job: Job, cancelled_at: datetime | None = None) -> list[str]:
    """Say when the link of a job that is over was live; it may have had none.

    `cancelled_at` is when Atlas confirmed the bot's cancellation: a link may be used before it.
    """
    is_known = cancelled_at or job.state in {JobState.CANCELLED, JobState.FAILED}
    if job.live_since:
        since = mrkdwn.date(job.live_since, seconds=True)
        ended = f"it was used or {'expired' if job.state is JobState.EXPIRED else 'withdrawn'}"
        if cancelled_at:
            ended = f"the cancellation at {mrkdwn.date(cancelled_at, seconds=True)} at the latest"
        until = f"live from {since} until {ended}"
        call = "; tell your security team" if is_known else ""  # other ends have a line for it
        return [f"*Download link* was {until}: a copy may have been taken{call}"]
    link = LINK_UNKNOWN if job.link_unknown else LINK_NEVER_LIVE
    return [f"*Download link* {link}"] if is_known else []


def past_link_sentence(was_live: object, link_unknown: object) -> str:
    """Say in a sentence, to append, that a copy of a download that is over may have been taken."""
    if was_live:
        return f" {LINK_WAS_LIVE}"
    return f" Its download link {LINK_UNKNOWN}." if link_unknown else ""


def call_to_cancel(request: Request | None, job: Job) -> str:
    """Say for what a message mentions the approvers of a download (a template)."""
    state = request.state if request else None
    if state is State.CANCELLED or job.ended:
        return "The download has ended. For your information: {who}."
    runs = state in {State.APPROVED, State.CANCELLING}
    return f"{IS_CANCELLED} For your information: {{who}}." if runs else "May cancel it: {who}."


def open_button(ref: JobRef) -> blockkit.Block:
    """Build the button that opens the dialog for a job."""
    return blockkit.button("Cancel this download", ids.OPEN, job_value(ref), style="danger")


def lead(span: Lead | None) -> str:
    """Say how long before or after the link a cancellation came, as the end of a sentence."""
    if span is None:
        return ""
    if span.was_live:
        return f", {mrkdwn.duration(span.span)} after the link went live"
    return f", {_beside(span)} the link was expected"


def never_live(span: Lead | None) -> str:
    """Say in a sentence that the link of a cancelled download was never live, if so."""
    if span is None or span.was_live:
        return ""
    return f" The link was never live ({_beside(span)} it was expected)."


def _beside(span: Lead) -> str:
    side = "before" if span.span > timedelta() else "after"
    return f"{mrkdwn.duration(span.span)} {side}"


def next_step(request: Request, job: Job, *, is_served: bool) -> str:
    """Say what to do after a request that has ended; nothing once its job has ended.

    `is_served` is whether the bot has its project still.
    """
    if mrkdwn.job_is_gone(request):
        return "*Next* Tell your security team."
    step = TAKEN_OVER if mrkdwn.was_taken_over(request) else NEXT_STEPS.get(request.state)
    if job.phase is LinkPhase.ENDED or not step:
        return ""
    step = step if is_served or "{again}" not in step else NOT_SERVED
    return f"*Next* {step.format(again=command_code(request.ref.job_id))}"
