"""Answers to a slash command's ack and to a response URL: where they go and what they replace."""

from typing import Any

from bot.sandbox.slack.arguments import Args
from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.messages import Message
from bot.sandbox.slack.methods.chat import signature
from bot.sandbox.slack.methods.content import content_of, must_say
from bot.sandbox.slack.triggers import Place
from bot.sandbox.slack.world import World

Json = dict[str, Any]
_KNOWN = {
    *("text", "blocks", "attachments", "response_type", "replace_original", "delete_original"),
    *("thread_ts", "metadata", "mrkdwn", "unfurl_links", "unfurl_media"),
}


def respond(world: World, place: Place, body: Json) -> None:
    """Shows `body` to the person, or to the channel with `response_type: in_channel`.

    Raises:
        ApiError: for what Slack would not show.
    """
    if unknown := set(body) - _KNOWN:
        raise ApiError("invalid_arguments", [f"unknown field: {', '.join(sorted(unknown))}"])
    original = world.messages.find(place.channel, place.message_ts or "")
    if body.get("delete_original"):
        _delete(world, original)
        return
    content = must_say(content_of(Args(body)))
    if body.get("replace_original") and original:
        _replace(world, original, content)
    else:
        _post(world, place, body, content)


def _delete(world: World, original: Message | None) -> None:
    if original is None:
        raise ApiError("message_not_found")
    world.messages.remove(original)
    world.tell_message("message_deleted", original)


def _replace(world: World, original: Message, content: Json) -> None:
    """The original shows only what the answer has: its blocks go when none are given."""
    original_only = {"blocks": [], "text": ""}
    changes = {**original_only, **content}
    world.messages.edit(original, changes, by=world.workspace.app.bot_user)
    world.tell_message("ephemeral" if original.only_for else "message_changed", original)


def _post(world: World, place: Place, body: Json, content: Json) -> None:
    content = {"text": "", **signature(world), **content}
    if thread_ts := body.get("thread_ts"):
        if world.messages.find(place.channel, thread_ts) is None:
            raise ApiError("thread_not_found")
        content["thread_ts"] = thread_ts
    kind = body.get("response_type", "ephemeral")
    if kind == "in_channel":
        world.tell_message("message", world.messages.post(place.channel, content))
    elif kind == "ephemeral":
        message = world.messages.whisper(place.channel, place.user, content)
        world.tell_message("ephemeral", message)
    else:
        raise ApiError("invalid_arguments", [f"unknown response_type: {kind}"])
