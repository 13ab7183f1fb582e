"""Reads what a message names: an address, a cluster with a job, or a job (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.atlas import is_cluster_name, is_object_id
from bot.slack.command.grammar import FindJob, OpenJob, OpenPicker, normalise, parse
from bot.slack.command.urls import read_url
from bot.slack.dialog.search import SearchQuery
from bot.slack.routing import route

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bot.cancellation.projects import Projects
    from bot.slack.routing import Route

NOTHING_FOUND = (
    "This message names no restore job of Atlas: there is no address of one in it, and no id "
    "(24 characters 0-9 or a-f). `/cancel-restore list` shows what can be cancelled now."
)

#: Keys of messages, blocks and attachments under which people and programs write.
WRITTEN = ("text", "title", "pretext", "fallback", "value", "url", "title_link", "from_url")

#: Keys under which more of it is nested.
NESTED = ("blocks", "elements", "fields", "attachments", "rows", "accessory", "element", "message")

#: What stands around names and ids in written text.
PUNCTUATION = "*_~.,;:!?()[]{}'\""

#: Words that may be a cluster's name, at most: a message can be long.
MOST_HINTS = 400


def lead_in(message: Mapping[str, Any], channel: str, projects: Projects) -> Route:
    """Say where a message leads: its first address, or else its first id.

    Which of the words before an id is its cluster, only Atlas knows: they are hints for a search.
    """
    words = [word for text in _written(message) for word in _words(text)]
    loose = [word.lower() for word in words if is_object_id(word)]
    jobs = [each for each in loose if projects.find(each) is None]
    for url in (word for word in words if read_url(word)):
        named = parse(" ".join([url, *jobs[:1]]) if _names_cluster(url) else url)
        if isinstance(named, (OpenJob, FindJob, OpenPicker)):
            return route(named, channel, projects)
    if not jobs:
        return NOTHING_FOUND
    hints = tuple(dict.fromkeys(_hints(words)))[:MOST_HINTS]
    return SearchQuery(job_id=jobs[0], among=projects.all, hints=hints, asked_in=channel)


def _names_cluster(url: str) -> bool:
    named = read_url(url)
    return bool(named and named.cluster)


def _hints(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        yield from (part for part in word.split("/") if is_cluster_name(part))


def _words(text: str) -> Iterator[str]:
    for word in normalise(text).split():
        if bare := word.strip(PUNCTUATION):
            yield bare


def _written(part: object, depth: int = 8) -> Iterator[str]:
    """Go through everything that is written in a message, its blocks and attachments."""
    if isinstance(part, list) and depth:
        for each in part:
            yield from _written(each, depth - 1)
    if not isinstance(part, dict) or not depth:
        return
    for key in WRITTEN:
        value = part.get(key)
        if isinstance(value, str):
            yield value
        else:
            yield from _written(value, depth - 1)
    for key in NESTED:
        yield from _written(part.get(key), depth - 1)
