"""Builds Block Kit objects within Slack's limits, and reads views: their metadata and inputs."""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from bot.log_config import current_request_id

Block: TypeAlias = dict[str, Any]
View: TypeAlias = dict[str, Any]
Again: TypeAlias = tuple[str, str]  #: the action id and the value of a button that tries again

#: Slack's limits (docs.slack.dev, reference/block-kit), in characters unless noted.
TEXT = 3000
FIELDS = 10  #: items of a section
ALERT = 200
CONFIRM = 300
METADATA = 3000
OPTION_TEXT = 75
VALUE = 2000  #: of a button
#: `chat.update` accepts 4,000; a notification needs far less.
FALLBACK = 2000
ELLIPSIS = "…"


def cut(text: str, limit: int) -> str:
    """Shorten plain text to `limit` characters, visibly."""
    return text if len(text) <= limit else f"{text[: limit - 1]}{ELLIPSIS}"


def plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": True}


def mrkdwn(text: str) -> Block:
    # Verbatim: Slack does not turn names from outside into links or mentions.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def section(text: str, *, block_id: str | None = None) -> Block:
    block = {"type": "section", "text": mrkdwn(cut(text, TEXT))}
    return block | ({"block_id": block_id} if block_id else {})


def message(text: str, limit: int = FALLBACK) -> dict[str, Any]:
    """Build `text`, of up to `limit` characters, and `blocks` of a message in one section."""
    return {"text": cut(text, limit), "blocks": [section(text)]}


def fields(pairs: list[tuple[str, str]]) -> Block:
    shown = [mrkdwn(f"*{label}*\n{value}") for label, value in pairs[:FIELDS]]
    return {"type": "section", "fields": shown}


def context(text: str) -> Block:
    return {"type": "context", "elements": [mrkdwn(cut(text, TEXT))]}


def alert(text: str, level: str) -> Block:
    """Build a coloured notice; Slack shows alerts in modals only."""
    return {"type": "alert", "text": plain(cut(text, ALERT)), "level": level}


def actions(*buttons: Block) -> Block:
    return {"type": "actions", "elements": list(buttons)}


def button(
    label: str,
    action_id: str,
    value: str,
    *,
    style: str | None = None,
    confirm: Block | None = None,
) -> Block:
    """Build a button; without `style` it is grey."""
    built = {"type": "button", "text": plain(label), "action_id": action_id, "value": value}
    return built | ({"style": style} if style else {}) | ({"confirm": confirm} if confirm else {})


def confirm(title: str, text: str, label: str, *, style: str = "primary") -> Block:
    return {
        "title": plain(title),
        "text": plain(cut(text, CONFIRM)),
        "confirm": plain(label),
        "deny": plain("Go back"),
        "style": style,
    }


def text_input(
    block_id: str, label: str, *, hint: str, optional: bool, multiline: bool = False
) -> Block:
    """Build a text input; its action id is its block id, so an updated view keeps its text."""
    element = {"type": "plain_text_input", "multiline": multiline, "max_length": TEXT}
    return input_block(block_id, label, element, hint=plain(hint), optional=optional)


def checkbox(block_id: str, label: str, text: str, *, hint: str) -> Block:
    """Build one optional checkbox; its action id and the value of its option are its block id."""
    option = {"text": plain(text), "value": block_id}
    element = {"type": "checkboxes", "options": [option]}
    return input_block(block_id, label, element, hint=plain(hint), optional=True)


def input_block(block_id: str, label: str, element: Block, **options: Block | bool) -> Block:
    """Build an input block; the action id of its element is its block id."""
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label),
        **options,
        "element": element | {"action_id": block_id},
    }


def modal(
    blocks: list[Block],
    *,
    callback_id: str,
    title: str,
    close: str,
    submit: str | None = None,
    private_metadata: str = "",
) -> View:
    """Build a modal; without `submit` it has no submit button."""
    view: View = {
        "type": "modal",
        "callback_id": callback_id,
        "title": plain(title),
        "close": plain(close),
        "blocks": blocks,
        "private_metadata": private_metadata,
    }
    return view | ({"submit": plain(submit)} if submit else {})


def private(text: str, again: Again | None = None) -> dict[str, Any]:
    """Build an ephemeral message of trusted mrkdwn, with the button that does the same again."""
    built = {"response_type": "ephemeral", **message(text, TEXT)}
    built["blocks"] += [try_again(*again)] if again else []
    return built


def try_again(action_id: str, value: str) -> Block:
    return actions(button("Try again", action_id, value))


#: The key of a dialog's metadata that holds the request's id.
REQUEST_KEY = "request"
#: The key by which a dialog says that it was opened in the Home tab.
HOME_KEY = "home"


def encode_metadata(values: Mapping[str, Any]) -> str:
    """Encode a view's `private_metadata`, with the current request; `ValueError` if too long."""
    request = current_request_id()
    known = {REQUEST_KEY: request} if request else {}
    text = json.dumps({**known, **values}, ensure_ascii=False, separators=(",", ":"))
    if len(text) > METADATA:
        raise ValueError(f"{len(text)} characters do not fit into private_metadata")
    return text


def decode_metadata(view: Mapping[str, Any]) -> dict[str, Any]:
    """Decode a view's `private_metadata`; empty if it is not a JSON object."""
    return read_object(str(view.get("private_metadata") or ""))


def read_object(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object; anything else gives an empty one."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def is_in_home(body: Mapping[str, Any]) -> bool:
    """Whether a payload comes from the Home tab, or from a dialog that was opened there."""
    view = body.get("view") or {}
    return view.get("type") == "home" or bool(decode_metadata(view).get(HOME_KEY))


def input_of(view: Mapping[str, Any], block_id: str) -> Mapping[str, Any]:
    """Return the state of an input whose action id is its block id; empty without one."""
    values = (view.get("state") or {}).get("values") or {}
    return (values.get(block_id) or {}).get(block_id) or {}
