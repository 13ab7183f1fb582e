"""Applies responses to slash commands and response URLs: post or replace."""

from typing import Any

from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.messages import Message
from bot.sandbox.slack.triggers import ResponseTarget
from bot.sandbox.slack.web_api.arguments import Args
from bot.sandbox.slack.web_api.methods.chat import author_fields
from bot.sandbox.slack.web_api.methods.content import content_of, require_content
from bot.sandbox.slack.world import World

Json = dict[str, Any]
_KNOWN = {"text", "blocks", "response_type", "replace_original"}


def respond(world: World, place: ResponseTarget, body: Json) -> None:
    """Show `body` to the person alone.

    Raises:
        ApiError: Slack would reject the body.
    """
    if unknown := set(body) - _KNOWN:
        raise ApiError("invalid_arguments", [f"unknown field: {', '.join(sorted(unknown))}"])
    if (kind := body.get("response_type", "ephemeral")) != "ephemeral":
        raise ApiError("invalid_arguments", [f"unknown response_type: {kind}"])
    content = require_content(content_of(Args(body)))
    original = world.messages.find(place.channel, place.message_ts or "")
    if body.get("replace_original") and original:
        _replace(world, original, content)
        return
    content = {"text": "", **author_fields(world), **content}
    message = world.messages.post_ephemeral(place.channel, place.user, content)
    world.publish_message("ephemeral", message)


def _replace(world: World, original: Message, content: Json) -> None:
    """Replace text and blocks of the original; blocks are removed when none are given."""
    original_only = {"blocks": [], "text": ""}
    changes = {**original_only, **content}
    world.messages.edit(original, changes, by=world.workspace.app.bot_user)
    world.publish_message("ephemeral" if original.only_for else "message_changed", original)
