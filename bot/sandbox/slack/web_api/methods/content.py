"""Validates the content of messages: text, blocks and metadata."""

from typing import Any

from bot.sandbox.slack.block_kit.blocks import problems
from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.views import with_ids
from bot.sandbox.slack.web_api.arguments import Args

Json = dict[str, Any]
MAX_TEXT = 40_000  # longer text is cut
MAX_EDIT = 4_000  # chat.update and chat.postEphemeral refuse longer text
MAX_METADATA = 16_000


def checked_blocks(blocks: object) -> list[Json]:
    """The blocks with an id each.

    Raises:
        ApiError: invalid_blocks_format (no list), invalid_blocks with a sentence for each fault.
    """
    if not isinstance(blocks, list):
        raise ApiError("invalid_blocks_format")
    if found := problems(blocks, "message"):
        raise ApiError("invalid_blocks", found, errors=found)
    return with_ids(blocks)


def content_of(args: Args) -> Json:
    """`text`, `blocks` and `metadata` as far as they were given.

    Raises:
        ApiError: invalid_blocks…, invalid_metadata_….
    """
    content: Json = {}
    if "text" in args:
        content["text"] = args.text("text")[:MAX_TEXT]
    if (blocks := args.parsed("blocks", "invalid_blocks_format")) is not None:
        content["blocks"] = checked_blocks(blocks)
    if (metadata := args.parsed("metadata", "invalid_metadata_format")) is not None:
        content["metadata"] = checked_metadata(metadata)
    return content


def require_content(content: Json) -> Json:
    """Raise `no_text` for content without text and blocks."""
    if not content.get("text") and not content.get("blocks"):
        raise ApiError("no_text")
    return content


def checked_metadata(metadata: object) -> Json:
    """`{event_type, event_payload}`, or an empty object, which removes it.

    Raises:
        ApiError: invalid_metadata_format, invalid_metadata_schema, metadata_too_large.
    """
    if not isinstance(metadata, dict):
        raise ApiError("invalid_metadata_format")
    if not metadata:
        return {}
    shape = {name: type(value) for name, value in metadata.items()}
    if shape != {"event_type": str, "event_payload": dict} or not metadata["event_type"]:
        raise ApiError("invalid_metadata_schema")
    if len(str(metadata)) > MAX_METADATA:
        raise ApiError("metadata_too_large")
    return metadata
