"""Handles the slash command, and the message shortcut, which finds the job that a message names."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.atlas import is_cluster_name, is_object_id
from bot.services.projects import Projects
from bot.slack import deployment, ids
from bot.slack.command.grammar import OpenDialog, normalise, parse, parse_url
from bot.slack.command.views import private
from bot.slack.dependencies import Dependencies
from bot.slack.deployment import command_code
from bot.slack.dialog.flow import SearchQuery
from bot.slack.routing import Route, dispatch, log_route, route

#: Keys of messages, blocks and attachments that hold text.
TEXT_KEYS = ("text", "title", "pretext", "fallback", "value", "url", "title_link", "from_url")

#: Keys that hold nested objects.
NESTED_KEYS = (
    "blocks", "elements", "fields", "attachments", "rows", "accessory", "element", "message"
)  # fmt: skip

#: Characters around names and ids in prose.
PUNCTUATION = "*_~.,;:!?()[]{}'\""

#: Words of a message that are tried as the cluster's name.
MAX_HINTS = 400


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def cancel_restore(ack: AsyncAck, body: dict[str, Any]) -> None:
        typed, by = str(body.get("text") or ""), deps.interaction(body)
        to = route(parse(typed), by.channel, deps.service.projects, typed)
        if isinstance(to, str):
            log_route("command typed", to, by)
            await ack(**private(to))
        else:
            await ack()
            dispatch(deps, to, by, "command typed")

    async def cancel_this(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        by = deps.interaction(body)
        to = route_message(body.get("message") or {}, by.channel, deps.service.projects)
        dispatch(deps, to, by, "shortcut used")

    app.command(deployment.command())(cancel_restore)
    app.shortcut(ids.SHORTCUT)(cancel_this)


def route_message(message: Mapping[str, Any], channel: str, projects: Projects) -> Route:
    """Choose the route of a message by its first URL, or else by its first job id (pure).

    Any word may be the name of the id's cluster, so all words are hints for the search.
    """
    words = [word for text in _texts(message) for word in _words(text)]
    object_ids = [word.lower() for word in words if is_object_id(word)]
    job_ids = [each for each in object_ids if projects.find(each) is None]
    for word in words:
        if url := parse_url(word):
            command = parse(" ".join([word, *job_ids[:1]]) if url.cluster else word)
            if isinstance(command, OpenDialog):
                return route(command, channel, projects)
    if not job_ids:
        return no_job_in_message()
    hints = tuple(dict.fromkeys(_cluster_names(words)))[:MAX_HINTS]
    return SearchQuery(job_id=job_ids[0], projects=projects.all, hints=hints, asked_in=channel)


def no_job_in_message() -> str:
    return (
        "This message names no restore job of Atlas: it contains no link to one, and no id "
        f"(24 characters 0-9 or a-f). {command_code('list')} shows what can be cancelled now."
    )


def _cluster_names(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        yield from (part for part in word.split("/") if is_cluster_name(part))


def _words(text: str) -> Iterator[str]:
    for word in normalise(text).split():
        if bare := word.strip(PUNCTUATION):
            yield bare


def _texts(part: object, depth: int = 8) -> Iterator[str]:
    """Yield every text of a message, its blocks and its attachments."""
    if isinstance(part, list) and depth:
        for each in part:
            yield from _texts(each, depth - 1)
    if not isinstance(part, dict) or not depth:
        return
    for key in TEXT_KEYS:
        value = part.get(key)
        if isinstance(value, str):
            yield value
        else:
            yield from _texts(value, depth - 1)
    for key in NESTED_KEYS:
        yield from _texts(part.get(key), depth - 1)
