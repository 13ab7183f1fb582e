"""Renders texts as Slack mrkdwn: everything from outside is escaped."""

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate

from bot.cancellation.people import People, is_operator
from bot.cancellation.text import (
    EVERY_MEMBER,
    Code,
    Group,
    Moment,
    Quote,
    Segment,
    Text,
    Untrusted,
    User,
)

ELLIPSIS = "…"
#: Control characters, zero-width characters, and direction overrides.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff]"
)
MAX_PEOPLE = 30  #: groups and users that one sentence mentions
MAX_NAME = 200  #: characters of a name from outside
MAX_NOTE = 1000  #: characters of a policy's note, which has 200 before it is escaped
MAX_QUOTE = 700  #: characters of what a person typed
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
#: What Slack formats: a mark at the beginning of a word, and the name of an emoji.
_FORMATTED = re.compile(r"(?<![^\W_])[*_~](?=\S)|(?<!\d):[\w+'-]+:")


def escape(text: str, limit: int = MAX_NAME) -> str:
    """Escape untrusted text as one line without mention or link.

    The result has at most `limit` characters beside backticks around it, and no half escape.
    """
    # A backtick would begin code that ends in the bot's own words.
    line = " ".join(INVISIBLE.sub("", text).replace("`", "'").split())
    parts = [_ESCAPES.get(char, char) for char in line[: limit + 1]]
    if sum(map(len, parts)) > limit:
        ends = accumulate(map(len, parts))
        last = limit - len(ELLIPSIS)
        kept = "".join(part for part, end in zip(parts, ends, strict=True) if end <= last)
        return _as_typed(kept + ELLIPSIS)
    return _as_typed("".join(parts))


def _as_typed(escaped: str) -> str:
    """Format a line as code if Slack would show it otherwise than it was typed."""
    return f"`{escaped}`" if _FORMATTED.search(escaped) else escaped


def code(text: str) -> str:
    """Format an untrusted name as inline code."""
    inside = escape(text.replace("`", "")).strip("`")
    return f"`{inside or '-'}`"


def date(moment: Moment) -> str:
    """Format a date token, which each reader sees in their own time zone."""
    form = "{time_secs}" if moment.has_seconds else "{time}"
    if moment.has_date:
        form = f"{{date_short_pretty}} at {form}"
    return f"<!date^{int(moment.at.timestamp())}^{form}|{moment.plain}>"


def note(text: str) -> str:
    """Format the note of a policy."""
    return f"_{escape(text, MAX_NOTE)}_"


def person(user: str) -> str:
    """Mention a user; Slack does not know an operator, such as `cli:alice`."""
    return escape(user) if is_operator(user) else f"<@{user}>"


def people(named: People) -> str:
    """Mention the users and groups that a setting lists."""
    if named.everyone:
        return EVERY_MEMBER
    groups = [f"<!subteam^{group}>" for group in sorted(named.groups)]
    mentions = [*groups, *map(person, sorted(named.users))]
    return some(mentions, MAX_PEOPLE) or "nobody"


def join(items: Iterable[str]) -> str:
    """Join items as in a sentence: `a, b and c`."""
    *first, end = [*items] or [""]
    return f"{', '.join(first)} and {end}" if first else end


def some(items: Sequence[str], most: int) -> str:
    """Join the first items as in a sentence, and count the others."""
    more = [f"{len(items) - most} more"] if len(items) > most else []
    return join([*items[:most], *more])


def link(url: str, label: str) -> str:
    """Link to a trusted URL."""
    return f"<{url}|{label}>"


def render(text: Text) -> str:
    """Render a text as mrkdwn."""
    return "".join(map(_render, text))


def _render(segment: Segment) -> str:
    match segment:
        case Moment():
            rendered = date(segment)
        case User(id=user):
            rendered = person(user)
        case Group(people=named):
            rendered = people(named)
        case Quote(text=text):
            rendered = f"“{escape(text, MAX_QUOTE)}”"
        case Untrusted(text=text):
            rendered = escape(text)
        case Code(text=text):
            rendered = code(text)
        case _:
            rendered = segment
    return rendered
