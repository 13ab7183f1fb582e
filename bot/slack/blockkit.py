"""Builds Block Kit objects within Slack's limits, and reads views: their metadata and inputs."""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

Block: TypeAlias = dict[str, Any]
View: TypeAlias = dict[str, Any]

#: Slack's limits (docs.slack.dev, reference/block-kit), in characters.
TEXT = 3000
FALLBACK = 2000  #: `chat.update` accepts 4,000; a notification needs far less
INPUT = 3000
METADATA = 3000
ELLIPSIS = "…"
_OPEN_TOKEN = "<"  # noqa: S105 - of mentions and dates


def cut(text: str, limit: int) -> str:
    """Shorten mrkdwn visibly; no mention, date token or escape is cut in the middle."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    if kept.rfind(_OPEN_TOKEN) > kept.rfind(">"):
        kept = kept[: kept.rfind(_OPEN_TOKEN)]
    if kept.rfind("&") > kept.rfind(";"):
        kept = kept[: kept.rfind("&")]
    if kept.count("`") % 2:
        kept = kept[: kept.rfind("`")]
    return f"{kept}{ELLIPSIS}"


def plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": True}


def mrkdwn(text: str) -> Block:
    # Verbatim: Slack does not turn names from outside into links or mentions.
    return {"type": "mrkdwn", "text": cut(text, TEXT), "verbatim": True}


def section(text: str) -> Block:
    return {"type": "section", "text": mrkdwn(text)}


def context(text: str) -> Block:
    return {"type": "context", "elements": [mrkdwn(text)]}


def actions(*buttons: Block) -> Block:
    return {"type": "actions", "elements": list(buttons)}


def button(label: str, action_id: str, value: str, *, is_danger: bool = False) -> Block:
    """Build a button; a red one cancels, and any other is grey."""
    built = {"type": "button", "text": plain(label), "action_id": action_id, "value": value}
    return built | ({"style": "danger"} if is_danger else {})


def text_input(block_id: str, label: str, *, hint: str, optional: bool) -> Block:
    """Build a text input; its action id is its block id, so an updated view keeps its text."""
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label),
        "hint": plain(hint),
        "optional": optional,
        "element": {
            "type": "plain_text_input",
            "action_id": block_id,
            "multiline": True,
            "max_length": INPUT,
        },
    }


def checkbox(block_id: str, label: str, text: str) -> Block:
    """Build one optional checkbox; its action id and the value of its option are its block id."""
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label),
        "optional": True,
        "element": {
            "type": "checkboxes",
            "action_id": block_id,
            "options": [{"text": plain(text), "value": block_id}],
        },
    }


def modal(
    blocks: list[Block],
    *,
    callback_id: str,
    title: str,
    metadata: str,
    close: str = "Go back",
    submit: str | None = None,
) -> View:
    """Build a modal; without `submit` it has no submit button."""
    view: View = {
        "type": "modal",
        "callback_id": callback_id,
        "title": plain(title),
        "close": plain(close),
        "blocks": blocks,
        "private_metadata": metadata,
    }
    return view | ({"submit": plain(submit)} if submit else {})


def encode_metadata(values: Mapping[str, Any]) -> str:
    """Encode a view's `private_metadata`; raises `ValueError` if it is too long."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    if len(text) > METADATA:
        raise ValueError(f"{len(text)} characters do not fit into private_metadata")
    return text


def decode_metadata(view: Mapping[str, Any]) -> dict[str, Any]:
    """Decode a view's `private_metadata`; empty if it is not a JSON object."""
    try:
        values = json.loads(str(view.get("private_metadata") or ""))
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def input_of(view: Mapping[str, Any], block_id: str) -> Mapping[str, Any]:
    """Return the state of an input whose action id is its block id; empty without one."""
    values = (view.get("state") or {}).get("values") or {}
    return (values.get(block_id) or {}).get(block_id) or {}
