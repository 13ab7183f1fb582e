"""Applies responses to slash commands and response URLs: post, replace or delete."""

from typing import Any

from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.messages import Message
from bot.sandbox.slack.triggers import ResponseTarget
from bot.sandbox.slack.web_api.arguments import Args
from bot.sandbox.slack.web_api.methods.chat import author_fields
from bot.sandbox.slack.web_api.methods.content import content_of, require_content
from bot.sandbox.slack.world import World

Json = dict[str, Any]
_KNOWN = {
    *("text", "blocks", "attachments", "response_type", "replace_original", "delete_original"),
    *("thread_ts", "metadata", "mrkdwn", "unfurl_links", "unfurl_media"),
}


def respond(world: World, place: ResponseTarget, body: Json) -> None:
    """Show `body` to the person, or to the channel with `response_type: in_channel`.

    Raises:
        ApiError: Slack would reject the body.
    """
    if unknown := set(body) - _KNOWN:
        raise ApiError("invalid_arguments", [f"unknown field: {', '.join(sorted(unknown))}"])
    original = world.messages.find(place.channel, place.message_ts or "")
    if body.get("delete_original"):
        _delete(world, original)
        return
    content = require_content(content_of(Args(body)))
    if body.get("replace_original") and original:
        _replace(world, original, content)
    else:
        _post(world, place, body, content)


def _delete(world: World, original: Message | None) -> None:
    if original is None:
        raise ApiError("message_not_found")
    world.messages.remove(original)
    world.publish_message("message_deleted", original)


def _replace(world: World, original: Message, content: Json) -> None:
    """Replace text and blocks of the original; blocks are removed when none are given."""
    original_only = {"blocks": [], "text": ""}
    changes = {**original_only, **content}
    world.messages.edit(original, changes, by=world.workspace.app.bot_user)
    world.publish_message("ephemeral" if original.only_for else "message_changed", original)


def _post(world: World, place: ResponseTarget, body: Json, content: Json) -> None:
    content = {"text": "", **author_fields(world), **content}
    if thread_ts := body.get("thread_ts"):
        if world.messages.find(place.channel, thread_ts) is None:
            raise ApiError("thread_not_found")
        content["thread_ts"] = thread_ts
    kind = body.get("response_type", "ephemeral")
    if kind == "in_channel":
        world.publish_message("message", world.messages.post(place.channel, content))
    elif kind == "ephemeral":
        message = world.messages.post_ephemeral(place.channel, place.user, content)
        world.publish_message("ephemeral", message)
    else:
        raise ApiError("invalid_arguments", [f"unknown response_type: {kind}"])
