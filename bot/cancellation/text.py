"""Texts for people as segments, which Slack's and the terminal's renderers turn into lines."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from bot.cancellation.people import People


@dataclass(frozen=True, slots=True)
class Moment:
    """A time; Slack shows it in the zone of the reader."""

    at: datetime
    has_seconds: bool = False
    has_date: bool = False  #: for a time that may be days ago

    @property
    def plain(self) -> str:
        """The time in UTC, where no reader's zone is known."""
        date = "%Y-%m-%d " if self.has_date else ""
        seconds = ":%S" if self.has_seconds else ""
        return self.at.astimezone(UTC).strftime(f"{date}%H:%M{seconds} UTC")


@dataclass(frozen=True, slots=True)
class User:
    """A person by the Slack id, or `cli:name`."""

    id: str


@dataclass(frozen=True, slots=True)
class Group:
    """People that a setting lists; Slack mentions them."""

    people: People


@dataclass(frozen=True, slots=True)
class Untrusted:
    """Text from outside: a name or an error of Atlas."""

    text: str


@dataclass(frozen=True, slots=True)
class Quote:
    """What a person typed, in quotation marks."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """A cluster, a job id or a command."""

    text: str


Segment: TypeAlias = str | Moment | User | Group | Untrusted | Quote | Code
Text: TypeAlias = tuple[Segment, ...]

EVERY_MEMBER = "every full member"


def joined(parts: Iterable[Text], separator: str = " ") -> Text:
    """Return one text of several."""
    result: list[Segment] = []
    for part in parts:
        if result and part:
            result.append(separator)
        result += part
    return tuple(result)


def printable(text: str) -> str:
    """Escape, as JSON does, control and direction characters, which a terminal would obey."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def plain(text: Text) -> str:
    """Render a text for a terminal or a log."""
    return "".join(_plain(segment) for segment in text)


def _plain(segment: Segment) -> str:
    match segment:
        case Moment():
            return segment.plain
        case User(id=user):
            return printable(user)
        case Group(people=people):
            names = [*sorted(people.users), *sorted(people.groups)]
            return EVERY_MEMBER if people.everyone else ", ".join(names)
        case Quote(text=text):
            return f"“{printable(text)}”"
        case Untrusted(text=text) | Code(text=text):
            return printable(text)
        case _:
            return segment
