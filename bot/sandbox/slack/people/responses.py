"""Shows responses to slash commands, and what is sent to response URLs."""

from typing import Any

from bot.sandbox.slack.errors import ApiError
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
    if body.get("replace_original"):
        raise ApiError("invalid_arguments", ["replace_original: nothing is replaced here"])
    content = require_content(content_of(Args(body)))
    content = {"text": "", **author_fields(world), **content}
    message = world.messages.post_ephemeral(place.channel, place.user, content)
    world.publish_message("ephemeral", message)
