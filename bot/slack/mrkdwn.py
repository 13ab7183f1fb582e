"""Formats Slack mrkdwn: escaped text, dates, mentions, links, requests and restore jobs."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import accumulate

from bot.atlas import JobRef
from bot.atlas.errors import JobGone
from bot.cancellation.job import SENT_BEFORE
from bot.cancellation.lifecycle import UNDECIDED, JobFingerprint, Request, State
from bot.cancellation.people import People, is_operator
from bot.slack.blockkit import ELLIPSIS

#: Control characters except newline, zero-width characters, and direction overrides.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]"
)

#: What Slack formats: a mark at the beginning of a word, and the name of an emoji.
FORMATTED = re.compile(r"(?<![^\W_])[*_~`](?=\S)|(?<!\d):[\w+'-]+:")
MAX_PEOPLE = 30  #: groups and users of the settings that one sentence names
SHOWN_TO_THE_SECOND = timedelta(minutes=10)  #: shorter spans of time
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

#: The label of each state; only one of them contains "cancelled".
STATE_LABELS: Mapping[State, str] = {
    State.AWAITING: ":hourglass_flowing_sand: Cancel this download? Waits for approval",
    State.APPROVED: ":arrow_forward: About to ask Atlas to cancel this download",
    State.CANCELLING: ":gear: Asking Atlas to cancel this download",
    State.CANCELLED: ":white_check_mark: Cancelled: Atlas confirms it",
    State.OVER: ":information_source: The download has ended; nothing left to cancel",
    State.REFUSED: ":no_entry: Atlas refused to cancel this download",
    State.CHANGED: ":warning: The download changed since it was shown; nothing was done",
    State.FAILED: ":x: Not finished: check this download in Atlas",
    State.DENIED: ":no_entry_sign: Denied: the bot does not cancel this download",
    State.EXPIRED: ":alarm_clock: Not approved in time: the bot does not cancel this download",
    State.WITHDRAWN: ":leftwards_arrow_with_hook: Withdrawn: the bot does not cancel this download",
    State.QUARANTINED: ":inbox_tray: Keep or cancel this download? It is in quarantine",
    State.KEPT: ":unlock: Kept: the download goes on",
    State.OBSERVED: ":eyes: Not kept: the bot does not cancel this download",
}

#: The predicate of each state, after "This request".
STATE_PREDICATES: Mapping[State, str] = {
    State.AWAITING: "waits for approval until {until}",
    State.APPROVED: "{approved}is about to be sent to Atlas",
    State.CANCELLING: "{approved}is being carried out",
    State.CANCELLED: "was carried out: Atlas confirms that the download is cancelled",
    State.OVER: "ended, because the download had ended",
    State.REFUSED: "ended, because Atlas refused to cancel the download",
    State.CHANGED: "ended, because the download had changed since it was shown",
    State.FAILED: "could not be finished",
    State.DENIED: "was denied: the bot does not cancel the download",
    State.EXPIRED: "was not approved in time: the bot does not cancel the download",
    State.WITHDRAWN: "was withdrawn: the bot does not cancel the download",
    State.QUARANTINED: "waits for an approver to keep the download or cancel it until {until}",
    State.KEPT: "ended, because the download was kept",
    State.OBSERVED: "ended: the download was not kept, but the bot does not cancel it",
}

#: The same of a request that another one for the same job replaced.
REPLACED_LABEL = ":information_source: Ended: another request runs without waiting"
REPLACED = "ended, because another request that runs without waiting was made"
#: The same of a request that a quarantine replaced.
TAKEN_OVER_LABEL = ":inbox_tray: Ended: the bot's own request takes the place of this one"
TAKEN_OVER = "ended, because the bot's own request takes the place of it"
#: The same of a request whose job Atlas does not list any more.
GONE_LABEL = ":grey_question: Atlas does not list this download any more"
GONE = "ended, because Atlas does not list the download any more"

#: Atlas's delivery types, described for people.
DELIVERY_TYPES: Mapping[str, str] = {
    "download": "download of a snapshot",
    "automated": "automated restore to a cluster",
    "pointInTime": "point-in-time restore to a cluster",
}


def strip_invisible(text: str) -> str:
    """Remove characters that a reader cannot see and that could mislead."""
    return INVISIBLE.sub("", text)


def escape(text: str, limit: int = 3000) -> str:
    """Escape untrusted text: it can contain no mention and no link.

    Source: docs.slack.dev, messaging/formatting-message-text. The result has at most `limit`
    characters and never ends in the middle of an escape.
    """
    parts = [_ESCAPES.get(each, each) for each in strip_invisible(text)[: limit + 1]]
    if sum(map(len, parts)) <= limit:
        return "".join(parts)
    ends, last = accumulate(map(len, parts)), limit - len(ELLIPSIS)
    return "".join(part for part, end in zip(parts, ends, strict=True) if end <= last) + ELLIPSIS


def one_line(text: str, limit: int = 200) -> str:
    return escape(" ".join(text.split()), limit)


def note(text: str) -> list[str]:
    """Return the line with the note of a policy, or nothing without one."""
    return [f":information_source: *Note* {as_typed(one_line(text, 1000))}"] if text else []


def as_typed(escaped: str) -> str:
    """Format a line as code if Slack would show it otherwise than a person typed it."""
    if not FORMATTED.search(escaped):
        return escaped
    inside = escaped.replace("`", "'")
    return f"`{inside}`"


def code(text: str) -> str:
    """Format an untrusted name as inline code."""
    return f"`{escape(text.replace('`', ''), 300) or '-'}`"


def quote(text: str, limit: int = 1500) -> str:
    """Quote untrusted text; every line is marked as part of the quotation."""
    # Without repeated line breaks, so that the quote marks cannot exceed the limit.
    lines = escape(re.sub(r"\n{2,}", "\n", text.strip()), limit).split("\n")
    return "\n".join(f">{as_typed(line)}" for line in lines)


def date(moment: datetime, *, seconds: bool = False) -> str:
    """Format a date token, which each reader sees in their own time zone."""
    fallback = moment.strftime(f"%Y-%m-%d %H:%M{':%S' if seconds else ''} UTC")
    time = "time_secs" if seconds else "time"
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} at {{{time}}}|{fallback}>"


def duration(span: timedelta) -> str:
    """Format a span of time, below ten minutes with seconds; its sign is left to the sentence."""
    seconds = round(abs(span.total_seconds()))
    minutes, hours = seconds // 60, seconds // 3600
    if abs(span) < SHOWN_TO_THE_SECOND:
        return f"{minutes}:{seconds % 60:02} min"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"


def sign(emoji: str) -> str:
    """Draw an emoji before a text."""
    return f":{emoji}: "


def person(user: str | None) -> str:
    """Mention a user; None is the bot. Slack does not know an operator, such as `cli:alice`."""
    if user and is_operator(user):
        return one_line(user)
    return f"<@{user}>" if user else "the bot"


def asker(request: Request) -> str:
    """Name who asked, at the start of a sentence."""
    return person(request.requester) if request.requester else "The bot"


def channel(channel_id: str) -> str:
    return f"<#{channel_id}>"


def people(who: People) -> str:
    """Mention a set of people as the settings name it, which notifies the groups' members."""
    if who.everyone:
        return "every full member of this workspace"
    groups = (f"<!subteam^{group}>" for group in sorted(who.groups))
    return join([*groups, *map(person, sorted(who.users))], MAX_PEOPLE) or "no one"


def one_of(who: People) -> str:
    """Mention the people of whom one is to do something, or the only one."""
    if who.everyone:
        return "any full member of this workspace"
    is_one = len(who.users) == 1 and not who.groups
    return people(who) if is_one else f"one of {people(who)}"


def join(items: Iterable[str], limit: int | None = None, rest: str = "more") -> str:
    """Join items as in a sentence: `a, b and c`, or `a, b and 7 more` after `limit` of them."""
    names = [*items]
    if limit and len(names) > limit:
        names[limit:] = [f"{len(names) - limit} {rest}"]
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last


def did_you_mean(names: Iterable[str]) -> str:
    """Ask about similar names, as a sentence to append; empty without names."""
    meant = join(map(code, names))
    return f" Did you mean {meant}?" if meant else ""


def count(number: int, what: str) -> str:
    """Count things: `1 cluster`, `2 clusters`."""
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def link(url: str | None, label: str) -> str:
    """Link to a trusted URL; without one, return the label."""
    return f"<{escape(url)}|{label}>" if url else label


def job_is_gone(request: Request) -> bool:
    """Whether Atlas refused a request because it does not list the job any more."""
    return request.state is State.REFUSED and request.outcome.sentence == JobGone.sentence


def was_taken_over(request: Request) -> bool:
    """Whether the bot's own request for the same job ended one of a person."""
    return request.state is State.WITHDRAWN and request.outcome.by is None


def state_label(request: Request) -> str:
    """Label the state of a request."""
    other = GONE_LABEL if job_is_gone(request) else STATE_LABELS[request.state]
    other = TAKEN_OVER_LABEL if was_taken_over(request) else other
    return REPLACED_LABEL if request.was_replaced else other


def request_status(request: Request) -> str:
    """Describe the state of a request: what happened, by whom and when."""
    approved, predicate = approved_by(request), predicate_of(request)
    if request.state in UNDECIDED:
        return f"This request {predicate}."
    what, colon, follows = predicate.partition(":")
    ended = f" by {person(request.outcome.by)}" if request.outcome.by else ""
    after = f" {approved} had approved it." if approved and request.state.ended else ""
    after += may_still_end(request)
    return f"This request {what}{ended} ({date(request.changed_at)}){colon}{follows}.{after}"


def may_still_end(request: Request) -> str:
    """Warn of a DELETE whose answer was lost, of a keep; other outcomes say it themselves."""
    is_lost = request.state is State.KEPT and request.sent.may_have_taken_effect
    return f" {SENT_BEFORE}" if is_lost else ""


def predicate_of(request: Request) -> str:
    """Return what follows the name of a request to describe its state."""
    if request.was_replaced:
        return REPLACED
    if was_taken_over(request):
        return TAKEN_OVER
    if job_is_gone(request):
        return GONE
    before = f"was approved by {approved} and " if (approved := approved_by(request)) else ""
    until = date(request.grace_ends_at or request.expires_at)
    return STATE_PREDICATES[request.state].format(approved=before, until=until)


def approved_by(request: Request) -> str:
    """Mention the approvers in the order of their approvals; empty without approvals."""
    return join(person(approval.user) for approval in request.approvals)


def atlas_answer(status: object, error_code: object) -> str:
    """Format Atlas's HTTP status and error code as a line to append; empty without either."""
    parts = [f"HTTP {status}"] if status else []
    parts += [code(str(error_code))] if error_code else []
    return f"\nAtlas answered {', '.join(parts)}." if parts else ""


def download(ref: JobRef, project_name: str) -> str:
    """Name a download within a sentence: the cluster first, which people know, its id last."""
    where = f"{code(ref.cluster_name)} in {one_line(project_name) or '-'}"
    return f"the download of {where} (job {code(ref.job_id)})"


def job(ref: JobRef) -> str:
    """Name a job of which nothing is known yet, within a sentence."""
    return f"job {code(ref.job_id)} of {code(ref.cluster_name)}"


def capitalised(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def summary(request: Request) -> str:
    """Name the download of a request within a sentence."""
    return download(request.ref, request.project_name)


def with_article(delivery_type: str) -> str:
    """Describe a delivery type within a plain-text sentence."""
    text = DELIVERY_TYPES.get(delivery_type) or f"{strip_invisible(delivery_type)[:64]} restore"
    return f"{'an' if text[:1].lower() in 'aeiou' else 'a'} {text}"


def snapshot_time(taken: datetime | None) -> str:
    return date(taken) if taken else "time not given"


def snapshot(shown: JobFingerprint) -> str:
    return f"{snapshot_time(shown.snapshot_time)}\n{code(shown.snapshot_id)}"


def job_facts(shown: JobFingerprint) -> list[tuple[str, str]]:
    kind = DELIVERY_TYPES.get(shown.delivery_type) or escape(shown.delivery_type, 100)
    return [("Type", kind), ("Snapshot", snapshot(shown))]
