"""Renders views and messages as text: everything that a reader sees, and what buttons send."""

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def as_text(shown: Json) -> str:
    """Return one line for each block, field, button and input; date tokens are shortened."""
    return re.sub(r"<!date\^\d+\^[^|]*\|([^>]*)>", r"<\1>", "\n".join(_lines(shown)))


def _lines(shown: Json) -> Iterator[str]:
    if "title" in shown:
        yield f"# {shown['title']['text']} ({shown['callback_id']})"
    if "text" in shown and shown["text"] != shown["blocks"][0]["text"]["text"]:
        yield f"text: {shown['text']}"
    for block in shown["blocks"]:
        mark = f" ({block['block_id']})" if "block_id" in block else ""
        yield from _block(block, mark)
    for name in ("submit", "close"):
        if name in shown:
            yield f"{name}: [{shown[name]['text']}]"
    for name in ("private_metadata", "metadata"):
        if shown.get(name):
            yield f"{name}: {shown[name]}"


def _block(block: Json, mark: str) -> Iterator[str]:
    kind = block["type"]
    if "fields" in block:
        yield f"fields{mark}:"
        yield from (f"  {part['text'].replace(chr(10), ' ')}" for part in block["fields"])
    elif kind == "section":
        yield f"{kind}{mark}: {block['text']['text']}"
        if "accessory" in block:
            yield _button(block["accessory"])
    elif kind == "context":
        yield from (f"{kind}{mark}: {part['text']}" for part in block["elements"])
    elif kind == "actions":
        yield from map(_button, block["elements"])
    elif kind == "input":
        yield f"{kind}{mark}: {block['label']['text']}{_input(block)}"
    else:
        level = f" {block['level']}" if "level" in block else ""
        yield f"{kind}{level}{mark}: {block['text']['text']}"


def _input(block: Json) -> str:
    optional = " (optional)" if block.get("optional") else ""
    hint = f" - {block['hint']['text']}" if "hint" in block else ""
    selected = block["element"].get("initial_option", {}).get("text", {}).get("text", "")
    return f"{optional}{hint}{f' = {selected}' if selected else ''}"


def _button(button: Json) -> str:
    style = f" {button['style']}" if "style" in button else ""
    confirm = button.get("confirm")
    question = f"{confirm['title']['text']} {confirm['text']['text']}" if confirm else ""
    asks = f" asks: {question} [{confirm['confirm']['text']}]" if confirm else ""
    label, action, value = button["text"]["text"], button["action_id"], button.get("value", "")
    return f"[{label}]{style} {action}={value}{asks}"
