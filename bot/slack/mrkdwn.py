"""Words for people: untrusted text made harmless, times, mentions, states."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bot.cancellation.lifecycle import State
from bot.slack.blockkit import ELLIPSIS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from bot.cancellation.lifecycle import Request
    from bot.cancellation.policy import People

#: Control characters but the newline, and those that turn the direction of writing around.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]"
)

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

#: How each state reads on a card; only one of them says "cancelled".
STATES: Mapping[State, str] = {
    State.AWAITING: ":hourglass_flowing_sand: Waits for approval",
    State.APPROVED: ":arrow_forward: About to be sent to Atlas",
    State.CANCELLING: ":gear: Asking Atlas to cancel the job",
    State.CANCELLED: ":white_check_mark: Cancelled: Atlas confirms it",
    State.OVER: ":information_source: The job had ended already",
    State.REFUSED: ":no_entry: Atlas refused",
    State.CHANGED: ":warning: The job is not what it was; nothing was done",
    State.FAILED: ":x: Could not be settled; a person must look",
    State.DENIED: ":no_entry_sign: Denied; nothing was done",
    State.EXPIRED: ":alarm_clock: Not approved in time; nothing was done",
    State.WITHDRAWN: ":leftwards_arrow_with_hook: Withdrawn; nothing was done",
}

#: The same within a sentence: "This request … "
WHAT_HAPPENED: Mapping[State, str] = {
    State.AWAITING: "waits for approval",
    State.APPROVED: "was approved{by} and is about to run",
    State.CANCELLING: "was approved{by} and is running",
    State.CANCELLED: "was carried out: Atlas says that the job is cancelled",
    State.OVER: "ended, because the job had ended already",
    State.REFUSED: "ended, because Atlas refused",
    State.CHANGED: "ended, because the job was not the one that had been shown",
    State.FAILED: "could not be settled",
    State.DENIED: "was denied",
    State.EXPIRED: "was not approved in time",
    State.WITHDRAWN: "was withdrawn",
}


def clean(text: str) -> str:
    """Remove what cannot be seen and could mislead."""
    return HIDDEN.sub("", text)


def escape(text: str, limit: int = 3000) -> str:
    """Make text from outside harmless in mrkdwn: no mention, no channel call, no made-up link.

    Source: docs.slack.dev, messaging/formatting-message-text. Whatever is longer than `limit`
    after escaping is cut, and never in the middle of an escape.
    """
    parts = [_ESCAPES.get(character, character) for character in clean(text)]
    if sum(map(len, parts)) <= limit:
        return "".join(parts)
    kept, room = [], limit - len(ELLIPSIS)
    for part in parts:
        room -= len(part)
        if room < 0:
            break
        kept.append(part)
    return "".join([*kept, ELLIPSIS])


def line(text: str, limit: int = 200) -> str:
    """Show a name of other people's making on one line."""
    return escape(" ".join(text.split()), limit)


def code(text: str) -> str:
    """Show a name as it is, in a fixed font."""
    return f"`{escape(text.replace('`', ''), 300) or '-'}`"


def quote(text: str, limit: int = 1500) -> str:
    """Show what somebody wrote so that none of its lines can pass for ours."""
    return "\n".join(f">{line}" for line in _lines(text, limit))


def _lines(text: str, limit: int) -> list[str]:
    # A text of nothing but line breaks must not outgrow the limit by its quote marks.
    return escape(re.sub(r"\n{2,}", "\n", text.strip()), limit).split("\n")


def when(moment: datetime) -> str:
    """Write a time that every reader sees in their own zone."""
    fallback = moment.strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} at {{time}}|{fallback}>"


def person(user: str | None) -> str:
    """Mention a person by id."""
    return f"<@{user}>" if user else "the bot"


def channel(channel_id: str) -> str:
    return f"<#{channel_id}>"


def group(group_id: str) -> str:
    """Mention a user group, which notifies its members."""
    return f"<!subteam^{group_id}>"


def people(who: People, most: int = 30) -> str:
    """Name a set of people, as short as a setting names it."""
    if who.everyone:
        return "every full member of this workspace"
    named = [*map(group, sorted(who.groups)), *map(person, sorted(who.users))]
    shown = named if len(named) <= most else [*named[:most], f"{len(named) - most} more"]
    return listed(shown) or "nobody"


def listed(items: Iterable[str]) -> str:
    """Join as in a sentence: `a, b and c`."""
    *most, last = [*items] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def link(url: str | None, label: str) -> str:
    """Link to an address of our own making; without one, just the label."""
    return f"<{escape(url)}|{label}>" if url else label


def what_happened(request: Request) -> str:
    """Tell a latecomer what became of a request, by whom and when."""
    approved = approved_by(request)
    said = WHAT_HAPPENED[request.state].format(by=f" by {approved}" if approved else "")
    ended = f" by {person(request.outcome.by)}" if request.outcome.by else ""
    after = f" {approved} had approved it." if approved and request.state.ended else ""
    return f"This request {said}{ended} ({when(request.changed_at)}).{after}"


def approved_by(request: Request) -> str:
    """Name who approved, first yes first, or nothing."""
    return listed(person(approval.user) for approval in request.approvals)


def answer_of_atlas(status: object, code: object) -> str:
    """Give Atlas's own terms for an outcome, for whoever looks further, or nothing."""
    terms = [f"HTTP {status}" if status else "", code_or_nothing(code)]
    said = ", ".join(term for term in terms if term)
    return f"\nAtlas answered {said}." if said else ""


def code_or_nothing(word: object) -> str:
    return code(str(word)) if word else ""


def summary(request: Request) -> str:
    """Say in a few words which job this is about."""
    ref = request.ref
    project = line(request.project_name)
    return f"restore job {code(ref.job_id)} of {code(ref.cluster_name)} in {project}"
